SELECT version, state FROM portolan_sessions WHERE key = ?1 AND expires_at > ?2;
