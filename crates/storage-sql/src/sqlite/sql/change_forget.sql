DELETE FROM portolan_changes WHERE removed = 1 AND revision <= ?1;
