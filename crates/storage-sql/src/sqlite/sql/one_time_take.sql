-- By its body too: no two records are sealed alike, so this is the record that was opened.
DELETE FROM portolan_one_time WHERE key = ?1 AND expires_at = ?2 AND sealed = ?3;
