CREATE TABLE IF NOT EXISTS portolan_schema (
    version    INTEGER PRIMARY KEY NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT;
