-- The keys other than $1 that nothing is wrapped with any more. Under the lock of `probe_lock.sql`.
DELETE FROM portolan.keys AS known
WHERE key_id <> $1
  AND NOT EXISTS (SELECT 1 FROM portolan.secrets AS used WHERE used.key_id = known.key_id)
  AND NOT EXISTS (SELECT 1 FROM portolan.one_time AS used WHERE used.key_id = known.key_id)
RETURNING key_id;
