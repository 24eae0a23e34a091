-- A data key per record, wrapped by the key `key_id` of a provider. Both are NULL in a row that a key sealed directly.
ALTER TABLE portolan_secrets ADD COLUMN key_id TEXT;
ALTER TABLE portolan_secrets ADD COLUMN data_key BLOB;
CREATE INDEX portolan_secrets_key_id ON portolan_secrets (key_id);

-- Each version of a provider's key that may have wrapped something here, with a known text sealed under a data key that
-- it wrapped. What it wraps is written together with its row here. portolan_sealing_keys has those that sealed directly.
CREATE TABLE portolan_keys (
    key_id   TEXT PRIMARY KEY NOT NULL,
    data_key BLOB NOT NULL,
    probe    BLOB NOT NULL
) STRICT;

-- Records that are taken once. `key` is a digest of purpose and id, which may be secrets. An empty payload is not sealed
-- and has no data key.
CREATE TABLE portolan_one_time (
    key        TEXT    PRIMARY KEY NOT NULL,
    expires_at INTEGER NOT NULL,
    sealed     BLOB    NOT NULL,
    key_id     TEXT,
    data_key   BLOB
) STRICT;
CREATE INDEX portolan_one_time_expires_at ON portolan_one_time (expires_at);
CREATE INDEX portolan_one_time_key_id ON portolan_one_time (key_id);
