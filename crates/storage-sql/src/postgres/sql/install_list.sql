-- As `record_list.sql`, of the installs of server $1.
SELECT version, name, body, tools
FROM (
    SELECT version, name, body, tools, sum(octet_length(body)) OVER (ORDER BY name) - octet_length(body) AS before
    FROM (
        SELECT version, name, body, tools FROM portolan.records
        WHERE server = $1 AND name > $2 ORDER BY name LIMIT $3
    ) AS page
) AS sized
WHERE before < $4
ORDER BY name;
