-- What another key than ?1 wrapped. A body goes along only where a key sealed it directly (format 1).
SELECT key, version, CASE WHEN substr(sealed, 1, 1) = x'01' THEN sealed END, key_id, data_key
FROM portolan_secrets WHERE key_id IS NOT ?1 AND key > ?2 ORDER BY key LIMIT ?3;
