SELECT number FROM portolan.schema_steps ORDER BY number;
