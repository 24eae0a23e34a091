SELECT key, version, sealed, key_id, data_key FROM portolan.secrets WHERE key > $1 ORDER BY key LIMIT $2;
