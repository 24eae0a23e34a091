INSERT INTO portolan_secrets (key, version, sealed, key_id, data_key) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (key) DO UPDATE
SET version = excluded.version, sealed = excluded.sealed, key_id = excluded.key_id, data_key = excluded.data_key;
