-- Audit records, in a partition for each month. Columns are what is filtered by; `body` is the record as JSON. Times are
-- microseconds since 1970 in UTC.
CREATE SEQUENCE portolan.audit_ids AS bigint;
CREATE TABLE portolan.audit (
    id      bigint NOT NULL DEFAULT nextval('portolan.audit_ids'),
    at      bigint NOT NULL,
    gateway text COLLATE "C",
    caller  text COLLATE "C",
    server  text COLLATE "C",
    body    text   NOT NULL,
    PRIMARY KEY (at, id)
) PARTITION BY RANGE (at);
CREATE INDEX audit_gateway ON portolan.audit (gateway, at, id);
CREATE INDEX audit_caller ON portolan.audit (caller, at, id);
CREATE INDEX audit_server ON portolan.audit (server, at, id);

-- For records of months that have no partition, so that no record is refused.
CREATE TABLE portolan.audit_other PARTITION OF portolan.audit DEFAULT;

-- Makes the partition of the month that begins at `month`, if there is none.
CREATE FUNCTION portolan.audit_prepare(month timestamp) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part  text   := 'audit_' || to_char(month, 'YYYY_MM');
    first bigint := extract(epoch FROM month AT TIME ZONE 'UTC')::bigint * 1000000;
    after bigint := extract(epoch FROM (month + interval '1 month') AT TIME ZONE 'UTC')::bigint * 1000000;
BEGIN
    IF to_regclass('portolan.' || part) IS NOT NULL THEN
        RETURN false;
    END IF;
    -- A reader that takes long must not hold up the writers that would wait behind this.
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('portolan.audit', 0));
    EXECUTE format('CREATE TABLE IF NOT EXISTS portolan.%I PARTITION OF portolan.audit FOR VALUES FROM (%s) TO (%s)', part, first, after);
    RETURN true;
END $$;

-- Drops the partitions whose last record is older than `before`, and returns their number.
CREATE FUNCTION portolan.audit_expire(before bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    part    text;
    dropped bigint := 0;
BEGIN
    PERFORM set_config('lock_timeout', '2s', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('portolan.audit', 0));
    FOR part IN
        SELECT child.relname FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
        WHERE inhparent = 'portolan.audit'::regclass AND child.relname ~ '^audit_[0-9]{4}_[0-9]{2}$'
    LOOP
        IF extract(epoch FROM (to_date(substr(part, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC')::bigint
           * 1000000 <= before THEN
            EXECUTE format('DROP TABLE portolan.%I', part);
            dropped := dropped + 1;
        END IF;
    END LOOP;
    DELETE FROM portolan.audit_other WHERE at < before;
    RETURN dropped;
END $$;
