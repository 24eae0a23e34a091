-- The messages of the bus, for a minute. AUTOINCREMENT: readers go by the id, so none comes twice.
CREATE TABLE portolan_messages (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    topic   TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    sent_at INTEGER NOT NULL
) STRICT;
