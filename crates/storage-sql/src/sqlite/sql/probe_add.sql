INSERT INTO portolan_keys (key_id, data_key, probe) VALUES (?1, ?2, ?3) ON CONFLICT (key_id) DO NOTHING;
