SELECT id, topic, body FROM portolan.messages WHERE id > $1 ORDER BY id LIMIT $2;
