-- This month and the next two.
SELECT count(*) FILTER (WHERE portolan.audit_prepare(month))
FROM generate_series(0, 2) AS ahead,
     LATERAL (SELECT date_trunc('month', to_timestamp($1::double precision) AT TIME ZONE 'UTC') + ahead * interval '1 month') AS months (month);
