INSERT INTO portolan_audit (at, gateway, caller, server, body) VALUES (?1, ?2, ?3, ?4, ?5);
