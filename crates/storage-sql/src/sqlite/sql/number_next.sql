UPDATE portolan_numbers SET value = value + 1 WHERE name = 'last' RETURNING value;
