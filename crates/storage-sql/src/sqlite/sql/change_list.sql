SELECT revision, kind, name FROM portolan_changes WHERE revision > ?1 ORDER BY revision LIMIT ?2;
