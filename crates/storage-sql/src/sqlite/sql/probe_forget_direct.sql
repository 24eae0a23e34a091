-- The keys that sealed directly, once nothing is sealed so any more.
DELETE FROM portolan_sealing_keys
WHERE NOT EXISTS (SELECT 1 FROM portolan_secrets WHERE key_id IS NULL)
RETURNING lower(hex(key_id));
