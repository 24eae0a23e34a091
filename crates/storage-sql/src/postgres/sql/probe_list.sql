SELECT probe FROM portolan.sealing_keys ORDER BY key_id;
