SELECT probe FROM portolan_sealing_keys ORDER BY key_id;
