DELETE FROM portolan.secrets WHERE key = $1;
