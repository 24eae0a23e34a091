INSERT INTO portolan.schema_steps (number, applied_at) VALUES ($1, $2);
