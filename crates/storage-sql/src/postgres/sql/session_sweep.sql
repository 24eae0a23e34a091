-- In batches, so that one sweep does not hold up other writers for long.
DELETE FROM portolan.sessions
WHERE key IN (SELECT key FROM portolan.sessions WHERE expires_at <= $1 LIMIT $2);
