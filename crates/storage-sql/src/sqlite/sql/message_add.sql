INSERT INTO portolan_messages (topic, body, sent_at) VALUES (?1, ?2, ?3) RETURNING id;
