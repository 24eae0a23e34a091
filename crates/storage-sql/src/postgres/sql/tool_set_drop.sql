-- Unless a record still has it.
DELETE FROM portolan.tool_sets
WHERE digest = $1 AND NOT EXISTS (SELECT FROM portolan.records WHERE tools = $1);
