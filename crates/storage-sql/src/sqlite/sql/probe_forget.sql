-- The keys other than ?1 that nothing is wrapped with any more.
DELETE FROM portolan_keys
WHERE key_id <> ?1
  AND NOT EXISTS (SELECT 1 FROM portolan_secrets WHERE portolan_secrets.key_id = portolan_keys.key_id)
  AND NOT EXISTS (SELECT 1 FROM portolan_one_time WHERE portolan_one_time.key_id = portolan_keys.key_id)
RETURNING key_id;
