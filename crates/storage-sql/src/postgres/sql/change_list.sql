-- One statement, one snapshot: what is forgotten in it is not among its rows.
SELECT number.value, change.revision, change.kind, change.name
FROM portolan.numbers AS number
LEFT JOIN LATERAL (
    SELECT revision, kind, name FROM portolan.changes WHERE revision > $1 ORDER BY revision LIMIT $2
) AS change ON true
WHERE number.name = 'forgotten'
ORDER BY change.revision;
