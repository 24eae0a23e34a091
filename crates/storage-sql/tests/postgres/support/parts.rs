//! The servers that `cargo xtask test --only storage` brings.

use portolan_storage_sql::SqlConfig;

/// How a test reaches PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// The server itself.
    Direct,
    /// Through PgBouncer 1.18, which knows no prepared statements, with a direct address for listening.
    OldPooler,
    /// Through a PgBouncer that keeps track of prepared statements, without a direct address.
    NewPooler,
}

impl Address {
    pub(crate) fn url(self) -> String {
        variable(match self {
            Self::Direct => "PORTOLAN_POSTGRES",
            Self::OldPooler => "PORTOLAN_PGBOUNCER_OLD",
            Self::NewPooler => "PORTOLAN_PGBOUNCER_NEW",
        })
    }

    pub(crate) fn config(self) -> SqlConfig {
        match self {
            Self::Direct => SqlConfig::new(),
            Self::OldPooler => SqlConfig::new().behind_transaction_pooler(Some(Self::Direct.url())),
            Self::NewPooler => SqlConfig::new().behind_transaction_pooler(None),
        }
    }
}

/// Reads what xtask says.
pub(crate) fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "this is how xtask says where the servers are")]
    let value = std::env::var(name);
    value.unwrap_or_else(|_| panic!("{name} is not set: run cargo xtask test --only storage"))
}
