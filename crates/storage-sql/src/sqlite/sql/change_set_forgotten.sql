UPDATE portolan_numbers SET value = ?1 WHERE name = 'forgotten';
