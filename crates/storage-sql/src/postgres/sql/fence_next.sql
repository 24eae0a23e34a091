-- The row is locked to the end of the transaction, so that fences are given in the order in which leases begin.
UPDATE portolan.numbers SET value = value + 1 WHERE name = 'fence' RETURNING value;
