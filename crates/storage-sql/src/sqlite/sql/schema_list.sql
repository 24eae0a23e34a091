SELECT version FROM portolan_schema ORDER BY version;
