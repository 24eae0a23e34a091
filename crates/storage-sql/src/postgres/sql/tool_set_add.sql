INSERT INTO portolan.tool_sets (digest, body) VALUES ($1, $2);
