-- A page of at most $3 records that ends once it has $4 bytes. The server would send all rows of a result that is read in
-- part, so it counts.
SELECT version, name, body, tools
FROM (
    SELECT version, name, body, tools, sum(octet_length(body)) OVER (ORDER BY name) - octet_length(body) AS before
    FROM (
        SELECT version, name, body, tools FROM portolan.records WHERE kind = $1 AND name > $2 ORDER BY name LIMIT $3
    ) AS page
) AS sized
WHERE before < $4
ORDER BY name;
