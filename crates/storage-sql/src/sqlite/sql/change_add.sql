INSERT INTO portolan_changes (kind, name, removed) VALUES (?1, ?2, ?3) RETURNING revision;
