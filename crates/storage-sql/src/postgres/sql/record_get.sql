SELECT version, name, body, tools FROM portolan.records WHERE kind = $1 AND name = $2;
