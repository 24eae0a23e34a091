-- Held to the end of the transaction, so that messages are committed in the order of their ids.
SELECT pg_advisory_xact_lock(hashtextextended('portolan.messages', 0));
