SELECT digest, body FROM portolan.tool_sets WHERE digest > $1 ORDER BY digest LIMIT $2;
