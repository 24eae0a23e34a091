-- The change, the record and the hint in one statement, so that the lock of the feed is held for two round trips.
-- $4 is the condition: 0 none, 1 absent, 2 the version $5. No row: it does not hold, and nothing was written.
WITH change AS (
    INSERT INTO portolan.changes (kind, name, removed)
    SELECT $1, $2, false
    WHERE $4 = 0
       OR ($4 = 1 AND NOT EXISTS (SELECT FROM portolan.records WHERE kind = $1 AND name = $2))
       OR ($4 = 2 AND EXISTS (SELECT FROM portolan.records WHERE kind = $1 AND name = $2 AND version = $5))
    ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, removed = excluded.removed
    RETURNING revision
), record AS (
    INSERT INTO portolan.records (kind, name, version, body, tools, server, owner)
    SELECT $1, $2, revision, $3, $6, $7, $8 FROM change
    ON CONFLICT (kind, name) DO UPDATE
    SET version = excluded.version, body = excluded.body, tools = excluded.tools,
        server = excluded.server, owner = excluded.owner
)
SELECT revision, pg_notify('portolan.news', 'change') FROM change;
