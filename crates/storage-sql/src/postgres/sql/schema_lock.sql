SELECT pg_advisory_xact_lock(hashtextextended('portolan.schema_steps', 0));
