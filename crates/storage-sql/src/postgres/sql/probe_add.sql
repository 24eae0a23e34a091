-- The shared lock keeps `probe_forget.sql` from removing the key before what it wrapped is committed.
INSERT INTO portolan.keys (key_id, data_key, probe)
SELECT $1, $2, $3 FROM pg_advisory_xact_lock_shared(hashtextextended('portolan.sealing_keys', 0))
ON CONFLICT (key_id) DO NOTHING;
