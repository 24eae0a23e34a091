-- The tools of installs, once for each content: `body` is the JSON array of the definitions, `digest` its SHA-256.
CREATE TABLE portolan.tool_sets (
    digest bytea PRIMARY KEY,
    body   text NOT NULL
);

-- `tools`: the digest of an install's tools, which are in its body where it is NULL: those of older releases move when they
-- are next written.
-- `server`, `owner`: by which an install is found; `owner` is the JSON that serde writes.
ALTER TABLE portolan.records ADD COLUMN tools bytea;
ALTER TABLE portolan.records ADD COLUMN server text COLLATE "C";
ALTER TABLE portolan.records ADD COLUMN owner text COLLATE "C";
UPDATE portolan.records
SET server = body::json -> 'install' ->> 'server', owner = (body::json -> 'install' -> 'owner')::text
WHERE kind = 'install';
CREATE INDEX records_tools ON portolan.records (tools) WHERE tools IS NOT NULL;
CREATE INDEX records_owner ON portolan.records (server, owner, name) WHERE server IS NOT NULL;
