SELECT digest, body FROM portolan_tool_sets WHERE digest > ?1 ORDER BY digest LIMIT ?2;
