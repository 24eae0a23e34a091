INSERT INTO portolan_tool_sets (digest, body) VALUES (?1, ?2);
