UPDATE portolan.secrets SET version = $2, sealed = $3, key_id = $4, data_key = $5 WHERE key = $1 AND version = $6;
