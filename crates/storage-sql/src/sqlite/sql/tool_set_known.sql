SELECT EXISTS (SELECT 1 FROM portolan_tool_sets WHERE digest = ?1);
