UPDATE portolan.sessions SET version = $2, expires_at = $3, state = $4
WHERE key = $1 AND expires_at > $5 AND version = $6;
