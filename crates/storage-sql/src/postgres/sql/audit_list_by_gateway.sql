-- Newest first. By the index of the gateway.
SELECT id, at, body FROM portolan.audit
WHERE at >= $1 AND at < $2 AND (at, id) < ($3, $4)
  AND gateway = $5
  AND ($6::text IS NULL OR caller = $6)
  AND ($7::text IS NULL OR server = $7)
ORDER BY at DESC, id DESC LIMIT $8;
