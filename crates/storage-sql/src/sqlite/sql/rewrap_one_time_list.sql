SELECT key, expires_at, NULL, key_id, data_key
FROM portolan_one_time WHERE key_id <> ?1 AND key > ?2 ORDER BY key LIMIT ?3;
