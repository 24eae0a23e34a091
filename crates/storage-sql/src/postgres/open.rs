//! Opening: the connections, what the server must be, the schema.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use portolan_core::{Error, Result};
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::{
    BACKEND, BEGIN_READ, Database, address, fault,
    listener::Listener,
    migrate::Schema,
    statements::{Statements, channel},
};
use crate::{
    config::SqlConfig,
    error::{self, SqlError},
};

/// The oldest server, as `server_version_num` says it.
const OLDEST: i32 = 130_000;
/// A connection that was used this short a time ago is used again without asking whether it is still there.
const FRESH: Duration = Duration::from_secs(1);
/// The longest name of a schema.
const MAX_SCHEMA: usize = 48;
const SERVER_FACTS: &str = include_str!("sql/server_facts.sql");

impl Database {
    /// Connects to the database at `url`, and brings its schema up to date or looks whether it is.
    pub(crate) async fn connect(url: &str, config: &SqlConfig, now: Timestamp) -> Result<Self> {
        check_schema(&config.schema)?;
        let pooled = config.pooler.is_some();
        let main = address::parse(url, config.tls)?;
        let options = configured(main.options, pooled);
        let direct = match &config.pooler {
            None => Some(options.clone()),
            Some(pooler) => match &pooler.direct_url {
                None => None,
                Some(url) => Some(configured(address::parse(url.reveal(), config.tls)?.options, false)),
            },
        };
        let place: Arc<str> = main.place.into();
        let sql = Statements::new(&config.schema);
        let schema = Schema {
            name: &config.schema,
            sql: &sql,
            place: &place,
        };

        // On a connection of its own, which ends with whatever it did.
        let migrator = direct.as_ref().unwrap_or(&options);
        let mut connection = first(&place, migrator, config.acquire_timeout).await?;
        let brought_up = async {
            check_server(&place, &mut connection).await?;
            schema.bring_up(&mut connection, config.migrations, now).await
        };
        let brought_up = brought_up.await;
        // What it did is done or undone; a connection that does not say goodbye changes nothing.
        let _ = connection.close().await;
        brought_up?;
        if pooled && direct.is_some() {
            // The migrator went another way.
            let mut connection = first(&place, &options, config.acquire_timeout).await?;
            check_server(&place, &mut connection).await?;
            let _ = connection.close().await;
        }

        let pool = PgPoolOptions::new()
            .max_connections(config.max_connections)
            .acquire_timeout(config.acquire_timeout)
            // The pool would ask before each use, which is one round trip more for every call.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move { Ok(about.idle_for < FRESH || connection.ping().await.is_ok()) })
            })
            .connect_lazy_with(options);
        Ok(Self {
            place,
            pool,
            sql,
            pooled,
            of_host: false,
            listener: direct.map(|options| Listener::new(options, channel(&config.schema))),
        })
    }

    /// Uses connections of the host's, in the host's database.
    pub(crate) async fn from_pool(pool: PgPool, config: &SqlConfig, now: Timestamp) -> Result<Self> {
        check_schema(&config.schema)?;
        let options = pool.connect_options();
        let database = options.get_database().unwrap_or_default();
        let place: Arc<str> = format!("postgres://{}:{}/{database}", options.get_host(), options.get_port()).into();
        let sql = Statements::new(&config.schema);
        let schema = Schema {
            name: &config.schema,
            sql: &sql,
            place: &place,
        };
        let acquired = pool.acquire().await;
        let mut connection = acquired.map_err(|error| fault::classify_opening(Arc::clone(&place), error))?;
        check_server(&place, &mut connection).await?;
        schema.bring_up(&mut connection, config.migrations, now).await?;
        drop(connection);

        let direct = match &config.pooler {
            None => Some(options.as_ref().clone()),
            Some(pooler) => match &pooler.direct_url {
                None => None,
                Some(url) => Some(configured(address::parse(url.reveal(), config.tls)?.options, false)),
            },
        };
        Ok(Self {
            place,
            pool,
            sql,
            pooled: config.pooler.is_some(),
            of_host: true,
            listener: direct.map(|options| Listener::new(options, channel(&config.schema))),
        })
    }
}

/// Sets what all connections have.
fn configured(options: PgConnectOptions, pooled: bool) -> PgConnectOptions {
    let options = options.disable_statement_logging();
    if pooled {
        // A pooler refuses `extra_float_digits`, and refuses or drops `options`: each transaction sets its limits.
        return options.extra_float_digits(None);
    }
    options.options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ])
}

/// Makes the first connection. The pool would only say that it timed out.
async fn first(place: &Arc<str>, options: &PgConnectOptions, patience: Duration) -> error::Result<PgConnection> {
    match tokio::time::timeout(patience, options.connect()).await {
        Ok(connected) => connected.map_err(|error| fault::classify_opening(Arc::clone(place), error)),
        Err(_) => Err(SqlError::Away {
            backend: BACKEND,
            place: Arc::clone(place),
            action: "open the database",
            remedy: "it does not answer; is its address right, and may this machine reach it?",
            source: "no answer in time".into(),
        }),
    }
}

/// Refuses a server on which the contracts would not hold.
async fn check_server(place: &Arc<str>, connection: &mut PgConnection) -> error::Result<()> {
    let facts = async {
        let mut tx = connection.begin_with(BEGIN_READ).await?;
        let query = sqlx::query_as(SERVER_FACTS).persistent(false);
        let facts: (i32, String, String) = query.fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok(facts)
    };
    let facts = facts.await;
    let (version, encoding, commit) = facts.map_err(|error| fault::classify_opening(Arc::clone(place), error))?;
    if version < OLDEST {
        return Err(refuse(place, "it is older than PostgreSQL 13; use a newer server"));
    }
    if encoding != "UTF8" {
        let problem = format!("its encoding is {encoding:?}; make a database with ENCODING 'UTF8'");
        return Err(refuse(place, problem));
    }
    if commit == "off" {
        let problem = "its commits do not wait for the disk (synchronous_commit is off); turn it on for this user with \
                       ALTER ROLE … SET synchronous_commit = on";
        return Err(refuse(place, problem));
    }
    Ok(())
}

/// Refuses a name that PostgreSQL would write otherwise, cut, or keep for itself.
fn check_schema(name: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if begins && name.len() <= MAX_SCHEMA && name.bytes().all(valid) && !name.starts_with("pg_") {
        return Ok(());
    }
    let problem = format!(
        "{name:?} is no name for it; use 1 to {MAX_SCHEMA} of a-z, 0-9 and _, with no digit and no pg_ in front"
    );
    Err(Error::invalid("schema", problem))
}

fn refuse(place: &str, problem: impl Into<String>) -> SqlError {
    SqlError::Place {
        backend: BACKEND,
        place: place.to_owned(),
        problem: problem.into(),
    }
}
