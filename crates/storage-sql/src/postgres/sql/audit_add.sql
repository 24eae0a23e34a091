INSERT INTO portolan.audit (at, gateway, caller, server, body)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]);
