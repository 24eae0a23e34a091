-- What is approved, installed and published. `body` is the record's JSON as serde wrote it.
CREATE TABLE portolan_records (
    kind    TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    version INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT;

-- The last change of each key. AUTOINCREMENT: a revision is never given twice, also not after its row went.
-- `removed` is 1 where nothing stands under the key any more.
CREATE TABLE portolan_changes (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    name     TEXT    NOT NULL,
    removed  INTEGER NOT NULL,
    UNIQUE (kind, name)
) STRICT;
CREATE INDEX portolan_changes_removed ON portolan_changes (revision) WHERE removed = 1;

-- `last`: the last number given as the version of a secret or session, or as a fence.
-- `forgotten`: the greatest revision among removals that the change feed no longer holds.
CREATE TABLE portolan_numbers (
    name  TEXT    PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO portolan_numbers (name, value) VALUES ('last', 0), ('forgotten', 0);

-- Secrets, sealed before they come here.
CREATE TABLE portolan_secrets (
    key     TEXT    PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    sealed  BLOB    NOT NULL
) STRICT;

-- Each sealing key that may have sealed something here, with a known text sealed by it.
CREATE TABLE portolan_sealing_keys (
    key_id BLOB PRIMARY KEY NOT NULL,
    probe  BLOB NOT NULL
) STRICT;

-- Times are microseconds since 1970 in UTC.
CREATE TABLE portolan_leases (
    key     TEXT    PRIMARY KEY NOT NULL,
    fence   INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT;
CREATE INDEX portolan_leases_ends_at ON portolan_leases (ends_at);

CREATE TABLE portolan_sessions (
    key        TEXT    PRIMARY KEY NOT NULL,
    version    INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    state      BLOB    NOT NULL
) STRICT;
CREATE INDEX portolan_sessions_expires_at ON portolan_sessions (expires_at);
