DELETE FROM portolan_secrets WHERE key = ?1;
