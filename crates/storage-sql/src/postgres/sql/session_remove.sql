DELETE FROM portolan.sessions WHERE key = $1;
