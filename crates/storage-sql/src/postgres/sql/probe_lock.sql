-- Waits for all transactions that write what a key has wrapped, and lets none begin.
SELECT pg_advisory_xact_lock(hashtextextended('portolan.sealing_keys', 0));
