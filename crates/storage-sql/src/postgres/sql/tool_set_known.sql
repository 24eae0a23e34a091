SELECT EXISTS (SELECT FROM portolan.tool_sets WHERE digest = $1);
