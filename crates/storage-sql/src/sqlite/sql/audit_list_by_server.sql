-- Newest first. By the index of the server.
SELECT id, at, body FROM portolan_audit
WHERE at >= ?1 AND at < ?2 AND (at, id) < (?3, ?4)
  AND (?5 IS NULL OR gateway = ?5)
  AND (?6 IS NULL OR caller = ?6)
  AND server = ?7
ORDER BY at DESC, id DESC LIMIT ?8;
