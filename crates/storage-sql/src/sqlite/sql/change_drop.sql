DELETE FROM portolan_changes WHERE kind = ?1 AND name = ?2;
