DELETE FROM portolan_messages
WHERE sent_at <= ?1 OR id <= (SELECT id FROM portolan_messages ORDER BY id DESC LIMIT 1 OFFSET ?2);
