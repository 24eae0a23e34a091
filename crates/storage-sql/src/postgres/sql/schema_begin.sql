CREATE TABLE portolan.schema_steps (
    number     bigint PRIMARY KEY,
    applied_at bigint NOT NULL
);
