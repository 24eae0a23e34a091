SELECT portolan.audit_expire($1);
