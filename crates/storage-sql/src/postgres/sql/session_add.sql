-- An expired state counts as absent.
INSERT INTO portolan.sessions AS stored (key, version, expires_at, state) VALUES ($1, $2, $3, $4)
ON CONFLICT (key) DO UPDATE
SET version = excluded.version, expires_at = excluded.expires_at, state = excluded.state
WHERE stored.expires_at <= $5;
