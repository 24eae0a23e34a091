DELETE FROM portolan_sessions WHERE key = ?1;
