-- What another key than $1 wrapped. A body goes along only where a key sealed it directly (format 1).
SELECT key, version, CASE WHEN substring(sealed FROM 1 FOR 1) = '\x01'::bytea THEN sealed END, key_id, data_key
FROM portolan.secrets WHERE key_id IS DISTINCT FROM $1 AND key > $2 ORDER BY key LIMIT $3;
