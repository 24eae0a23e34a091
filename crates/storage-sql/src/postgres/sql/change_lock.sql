-- Held to the end of the transaction: who gets a revision commits before anybody gets the next one.
SELECT pg_advisory_xact_lock(hashtextextended('portolan.changes', 0));
