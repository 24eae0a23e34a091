-- Newest first. By the index of the caller.
SELECT id, at, body FROM portolan.audit
WHERE at >= $1 AND at < $2 AND (at, id) < ($3, $4)
  AND ($5::text IS NULL OR gateway = $5)
  AND caller = $6
  AND ($7::text IS NULL OR server = $7)
ORDER BY at DESC, id DESC LIMIT $8;
