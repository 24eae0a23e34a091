SELECT coalesce(max(version), 0) FROM portolan_schema;
