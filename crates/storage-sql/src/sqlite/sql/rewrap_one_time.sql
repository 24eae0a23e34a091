UPDATE portolan_one_time SET key_id = ?4, data_key = ?5, sealed = coalesce(?6, sealed)
WHERE key = ?1 AND expires_at = ?2 AND data_key IS ?3;
