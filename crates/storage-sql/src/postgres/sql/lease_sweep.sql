DELETE FROM portolan.leases WHERE ends_at <= $1;
