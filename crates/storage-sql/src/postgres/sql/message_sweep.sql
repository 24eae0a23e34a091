DELETE FROM portolan.messages
WHERE sent_at <= $1 OR id <= (SELECT id FROM portolan.messages ORDER BY id DESC LIMIT 1 OFFSET $2);
