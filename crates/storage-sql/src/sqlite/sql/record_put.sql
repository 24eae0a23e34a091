INSERT INTO portolan_records (kind, name, version, body) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (kind, name) DO UPDATE SET version = excluded.version, body = excluded.body;
