SELECT key_id, data_key, probe FROM portolan.keys
UNION ALL
SELECT encode(key_id, 'hex'), NULL, probe FROM portolan.sealing_keys
ORDER BY 1;
