//! Portolan's registry, credentials and sessions in SQL.
