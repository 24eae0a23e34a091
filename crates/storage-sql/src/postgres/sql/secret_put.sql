INSERT INTO portolan.secrets (key, version, sealed) VALUES ($1, $2, $3)
ON CONFLICT (key) DO UPDATE SET version = excluded.version, sealed = excluded.sealed;
