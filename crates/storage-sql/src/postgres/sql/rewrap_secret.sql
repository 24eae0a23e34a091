UPDATE portolan.secrets SET key_id = $4, data_key = $5, sealed = coalesce($6, sealed)
WHERE key = $1 AND version = $2 AND data_key IS NOT DISTINCT FROM $3;
