SELECT key_id, data_key, probe FROM portolan_keys
UNION ALL
SELECT lower(hex(key_id)), NULL, probe FROM portolan_sealing_keys
ORDER BY 1;
