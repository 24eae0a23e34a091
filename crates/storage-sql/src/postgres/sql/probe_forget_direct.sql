-- The keys that sealed directly, once nothing is sealed so any more.
DELETE FROM portolan.sealing_keys
WHERE NOT EXISTS (SELECT 1 FROM portolan.secrets WHERE key_id IS NULL)
RETURNING encode(key_id, 'hex');
