DELETE FROM portolan_leases WHERE key = ?1 AND fence = ?2;
