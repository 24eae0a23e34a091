SELECT expires_at, sealed, key_id, data_key FROM portolan.one_time WHERE key = $1 AND expires_at > $2;
