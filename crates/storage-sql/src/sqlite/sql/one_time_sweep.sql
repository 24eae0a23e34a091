-- In batches, so that one sweep does not hold up other writers for long.
DELETE FROM portolan_one_time
WHERE key IN (SELECT key FROM portolan_one_time WHERE expires_at <= ?1 LIMIT ?2);
