INSERT INTO portolan.sealing_keys (key_id, probe) VALUES ($1, $2) ON CONFLICT (key_id) DO NOTHING;
