SELECT version, name, body, tools FROM portolan_records WHERE kind = ?1 AND name = ?2;
