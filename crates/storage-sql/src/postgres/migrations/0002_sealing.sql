-- A data key per record, wrapped by the key `key_id` of a provider. Both are NULL in a row that a key sealed directly.
ALTER TABLE portolan.secrets ADD COLUMN key_id text COLLATE "C", ADD COLUMN data_key bytea;
CREATE INDEX secrets_key_id ON portolan.secrets (key_id);

-- Each version of a provider's key that may have wrapped something here, with a known text sealed under a data key that
-- it wrapped. What it wraps is written together with its row here, under a lock that `probe_lock.sql` waits for.
CREATE TABLE portolan.keys (
    key_id   text COLLATE "C" PRIMARY KEY,
    data_key bytea NOT NULL,
    probe    bytea NOT NULL
);

-- Records that are taken once. `key` is a digest of purpose and id, which may be secrets. An empty payload is not sealed
-- and has no data key.
CREATE TABLE portolan.one_time (
    key        text COLLATE "C" PRIMARY KEY,
    expires_at bigint NOT NULL,
    sealed     bytea  NOT NULL,
    key_id     text COLLATE "C",
    data_key   bytea
);
CREATE INDEX one_time_expires_at ON portolan.one_time (expires_at);
CREATE INDEX one_time_key_id ON portolan.one_time (key_id);
