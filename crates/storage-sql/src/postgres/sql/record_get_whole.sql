SELECT record.version, record.name, record.body, record.tools, tool_set.body
FROM portolan.records AS record LEFT JOIN portolan.tool_sets AS tool_set ON tool_set.digest = record.tools
WHERE record.kind = $1 AND record.name = $2;
