//! The configuration of a store.

use std::time::Duration;

use portolan_core::Secret;

/// How a store connects to its database, and what it may do there.
///
/// Everything but [`with_migrations`](Self::with_migrations) is about PostgreSQL; on SQLite it does nothing, so that one
/// configuration serves both.
///
/// ```
/// use std::time::Duration;
/// use portolan_storage_sql::{Migrations, SqlConfig};
///
/// let config = SqlConfig::new()
///     .with_schema("mcp")
///     .with_max_connections(20)
///     .with_acquire_timeout(Duration::from_secs(3))
///     .with_migrations(Migrations::Verify);
/// # let _ = config;
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlConfig {
    pub(crate) schema: String,
    pub(crate) max_connections: u32,
    pub(crate) acquire_timeout: Duration,
    pub(crate) tls: TlsRule,
    pub(crate) pooler: Option<Pooler>,
    pub(crate) migrations: Migrations,
}

/// A transaction pooler between the store and its database.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "for PostgreSQL"))]
pub(crate) struct Pooler {
    /// The address past the pooler.
    pub(crate) direct_url: Option<Secret>,
}

/// Whether a store changes the schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Migrations {
    /// Bring the schema up to date when the store opens: one process does, others wait for it.
    #[default]
    Run,
    /// Change nothing, and refuse to open a database whose schema is not up to date.
    Verify,
}

/// What a connection to PostgreSQL must have, apart from one on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsRule {
    /// TLS with the server's certificate and name checked (`sslmode=verify-full`), which is then the default of the URL.
    /// Connections to a loopback address or a Unix socket may be plain.
    #[default]
    VerifyFull,
    /// Whatever `sslmode` in the URL says. With less than `verify-full`, anybody on the way can pose as the server and read
    /// the password.
    AsUrlSays,
}

impl SqlConfig {
    /// Creates the default: schema `portolan`, 10 connections, 5 seconds, checked TLS, no pooler, migrations run.
    pub fn new() -> Self {
        Self {
            schema: "portolan".into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            tls: TlsRule::default(),
            pooler: None,
            migrations: Migrations::default(),
        }
    }

    /// Sets the PostgreSQL schema that holds the tables: 1 to 48 of `a-z`, `0-9` and `_`. It is made where it does not
    /// exist, which needs the right to.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the most connections to PostgreSQL, beside the one that listens. At least 1.
    #[must_use]
    pub fn with_max_connections(mut self, count: u32) -> Self {
        self.max_connections = count.max(1);
        self
    }

    /// Sets the longest wait for a connection, after which a call fails as unavailable.
    #[must_use]
    pub fn with_acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = limit;
        self
    }

    /// Sets what TLS must do.
    #[must_use]
    pub fn with_tls(mut self, rule: TlsRule) -> Self {
        self.tls = rule;
        self
    }

    /// Says that the URL leads to a pooler in transaction mode, such as PgBouncer with `pool_mode = transaction`.
    ///
    /// Without this, statements meet those of other clients on the server connection, and **calls return other clients'
    /// rows without an error**. With it, no statement is prepared under a name and each is in a transaction.
    ///
    /// Behind a pooler nobody can listen. `direct_url` is an address past it, for one more connection of each process that
    /// listens and for the migrations. Without one, changes of other processes are seen within half a second instead of at
    /// once, messages of the bus too, and migrations run through the pooler.
    #[must_use]
    pub fn behind_transaction_pooler(mut self, direct_url: Option<String>) -> Self {
        self.pooler = Some(Pooler {
            direct_url: direct_url.map(Secret::new),
        });
        self
    }

    /// Sets whether the store changes the schema. Holds on SQLite, too.
    #[must_use]
    pub fn with_migrations(mut self, migrations: Migrations) -> Self {
        self.migrations = migrations;
        self
    }
}

impl Default for SqlConfig {
    fn default() -> Self {
        Self::new()
    }
}
