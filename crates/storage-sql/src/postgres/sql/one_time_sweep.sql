-- In batches, so that one sweep does not hold up other writers for long. Rows that others sweep are left to them.
DELETE FROM portolan.one_time
WHERE key IN (SELECT key FROM portolan.one_time WHERE expires_at <= $1 LIMIT $2 FOR UPDATE SKIP LOCKED);
