SELECT version, sealed FROM portolan_secrets WHERE key = ?1;
