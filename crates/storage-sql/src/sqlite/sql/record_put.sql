INSERT INTO portolan_records (kind, name, version, body, tools, server, owner) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (kind, name) DO UPDATE
SET version = excluded.version, body = excluded.body, tools = excluded.tools,
    server = excluded.server, owner = excluded.owner;
