SELECT version, name, body, tools FROM portolan_records
WHERE server = ?1 AND owner = ?2 AND name > ?3 ORDER BY name LIMIT ?4;
