SELECT version, state FROM portolan.sessions WHERE key = $1 AND expires_at > $2;
