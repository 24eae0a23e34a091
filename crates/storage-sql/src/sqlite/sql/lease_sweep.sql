DELETE FROM portolan_leases WHERE ends_at <= ?1;
