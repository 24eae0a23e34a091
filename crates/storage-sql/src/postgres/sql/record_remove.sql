-- $3 is the condition: 0 none, 2 the version $4. No row: nothing was removed.
WITH gone AS (
    DELETE FROM portolan.records
    WHERE kind = $1 AND name = $2 AND ($3 = 0 OR ($3 = 2 AND version = $4))
    RETURNING kind, name, tools
), change AS (
    INSERT INTO portolan.changes (kind, name, removed)
    SELECT kind, name, true FROM gone
    ON CONFLICT (kind, name) DO UPDATE SET revision = excluded.revision, removed = excluded.removed
    RETURNING revision
)
SELECT revision, tools, pg_notify('portolan.news', 'change') FROM change, gone;
