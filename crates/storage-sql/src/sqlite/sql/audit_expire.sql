-- In batches, so that other writers do not wait for long.
DELETE FROM portolan_audit WHERE id IN (SELECT id FROM portolan_audit WHERE at < ?1 ORDER BY at LIMIT ?2);
