SELECT pg_advisory_xact_lock(hashtextextended('portolan.sealing_keys', 0));
