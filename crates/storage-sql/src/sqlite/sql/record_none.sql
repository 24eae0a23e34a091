SELECT NOT EXISTS (SELECT 1 FROM portolan_records);
