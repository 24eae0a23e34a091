-- The newest removal that is one too many, when ?1 are kept.
SELECT revision FROM portolan_changes WHERE removed = 1 ORDER BY revision DESC LIMIT 1 OFFSET ?1;
