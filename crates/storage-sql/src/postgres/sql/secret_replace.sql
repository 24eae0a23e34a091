UPDATE portolan.secrets SET version = $2, sealed = $3 WHERE key = $1 AND version = $4;
