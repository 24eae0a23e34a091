SELECT value FROM portolan_numbers WHERE name = 'forgotten';
