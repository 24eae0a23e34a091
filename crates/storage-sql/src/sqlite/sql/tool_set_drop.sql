-- Unless a record still has it.
DELETE FROM portolan_tool_sets
WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM portolan_records WHERE tools = ?1);
