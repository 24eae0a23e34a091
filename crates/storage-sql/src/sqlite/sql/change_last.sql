SELECT coalesce(max(revision), 0) FROM portolan_changes;
