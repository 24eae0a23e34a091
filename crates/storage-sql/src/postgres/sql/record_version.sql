SELECT version FROM portolan.records WHERE kind = $1 AND name = $2;
