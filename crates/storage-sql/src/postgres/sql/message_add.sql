-- One statement, and so one transaction. The lock is taken before the id is given, and held until the commit, so that
-- messages become visible in the order of their ids: a reader that goes by the id misses none.
WITH turn AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(hashtextextended('portolan.messages', 0))
), message AS (
    INSERT INTO portolan.messages (topic, body, sent_at) SELECT $1, $2, $3 FROM turn RETURNING id
)
SELECT id, pg_notify('portolan.news', 'message') FROM message;
