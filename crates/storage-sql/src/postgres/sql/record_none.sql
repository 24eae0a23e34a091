SELECT NOT EXISTS (SELECT FROM portolan.records);
