WITH message AS (
    INSERT INTO portolan.messages (topic, body, sent_at) VALUES ($1, $2, $3) RETURNING id
)
SELECT id, pg_notify('portolan.news', 'message') FROM message;
