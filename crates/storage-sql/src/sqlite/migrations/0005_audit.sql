-- Audit records. Columns are what is filtered by; `body` is the record as JSON. Times are microseconds since 1970 in UTC.
CREATE TABLE portolan_audit (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    gateway TEXT,
    caller  TEXT,
    server  TEXT,
    body    TEXT    NOT NULL
) STRICT;
CREATE INDEX portolan_audit_at ON portolan_audit (at, id);
CREATE INDEX portolan_audit_gateway ON portolan_audit (gateway, at, id);
CREATE INDEX portolan_audit_caller ON portolan_audit (caller, at, id);
CREATE INDEX portolan_audit_server ON portolan_audit (server, at, id);
