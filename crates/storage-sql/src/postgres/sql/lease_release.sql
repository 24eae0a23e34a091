DELETE FROM portolan.leases WHERE key = $1 AND fence = $2;
