SELECT version, sealed FROM portolan.secrets WHERE key = $1;
