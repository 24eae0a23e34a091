-- Nothing happens where an unexpired record is.
INSERT INTO portolan_one_time (key, expires_at, sealed, key_id, data_key) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (key) DO UPDATE
SET expires_at = excluded.expires_at, sealed = excluded.sealed, key_id = excluded.key_id, data_key = excluded.data_key
WHERE portolan_one_time.expires_at <= ?6;
