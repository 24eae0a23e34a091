-- The tools of installs, once for each content: `body` is the JSON array of the definitions, `digest` its SHA-256.
CREATE TABLE portolan_tool_sets (
    digest BLOB PRIMARY KEY NOT NULL,
    body   TEXT NOT NULL
) STRICT;

-- `tools`: the digest of an install's tools, which are in its body where it is NULL: SQLite computes no SHA-256, so those of
-- older releases move when they are next written.
-- `server`, `owner`: by which an install is found; `owner` is the JSON that serde writes.
ALTER TABLE portolan_records ADD COLUMN tools BLOB;
ALTER TABLE portolan_records ADD COLUMN server TEXT;
ALTER TABLE portolan_records ADD COLUMN owner TEXT;
UPDATE portolan_records
SET server = body ->> '$.install.server', owner = body -> '$.install.owner'
WHERE kind = 'install';
CREATE INDEX portolan_records_tools ON portolan_records (tools) WHERE tools IS NOT NULL;
CREATE INDEX portolan_records_owner ON portolan_records (server, owner, name) WHERE server IS NOT NULL;
