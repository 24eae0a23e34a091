//! Opening: the file, its mode, its connections.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use sqlx::{
    ConnectOptions, Connection, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous},
};

use super::{Database, Ownership, fault, migrate};
use crate::{
    config::Migrations,
    error::{Result, SqlError},
    key_file::private,
};

/// The longest wait of a write for other processes, and of any call for a connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// What `PRAGMA synchronous` says of connections whose commits are on disk when they return.
const SYNCHRONOUS_FULL: i64 = 2;
/// The number of connections that only read.
const READERS: u32 = 4;
/// The size to which a `-wal` is cut back after a burst, in bytes.
const MAX_WAL_KEPT: &str = "67108864";

impl Database {
    /// Opens the database at `address`: a path, also behind `sqlite:` or `sqlite://`, or `sqlite::memory:`.
    pub(crate) async fn at(address: &str, migrations: Migrations, now: Timestamp) -> Result<Self> {
        let Some(path) = address.strip_prefix("sqlite:") else {
            return Self::open(Path::new(address), migrations, now).await;
        };
        if path == ":memory:" {
            return Self::in_memory(now).await;
        }
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.contains(['?', '%']) {
            let problem = "a URL of SQLite has no parameters and no %XX here; give the path alone, without sqlite:";
            return Err(refuse(path, problem));
        }
        Self::open(Path::new(path), migrations, now).await
    }

    /// Opens or creates the database at `path` and brings its schema up to date.
    pub(crate) async fn open(path: &Path, migrations: Migrations, now: Timestamp) -> Result<Self> {
        let path = prepare(path)?;
        let place: Arc<str> = path.display().to_string().into();
        let options = options().filename(&path);
        turn_wal_on(&place, &options).await?;

        let writer = pool(1).connect_lazy_with(options.clone());
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        let database = Self {
            place,
            writer,
            readers,
            ownership: Ownership::Store { keeper: None },
        };
        migrate::bring_up(&database, migrations, now).await?;
        Ok(database)
    }

    /// Uses connections of the host's, in the host's database, and brings the schema up to date there.
    pub(crate) async fn from_pool(pool: SqlitePool, migrations: Migrations, now: Timestamp) -> Result<Self> {
        let name = pool.connect_options().get_filename().display().to_string();
        let place: Arc<str> = name.into();
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&pool)
            .await
            .map_err(|error| fault::classify_opening(Arc::clone(&place), error))?;
        if synchronous < SYNCHRONOUS_FULL {
            let problem = "its connections do not wait for the disk; give the pool \
                           SqliteConnectOptions::synchronous(SqliteSynchronous::Full)";
            return Err(refuse(&place, problem));
        }
        let database = Self {
            place,
            readers: pool.clone(),
            writer: pool,
            ownership: Ownership::Host,
        };
        migrate::bring_up(&database, migrations, now).await?;
        Ok(database)
    }

    /// A database in memory, which is there as long as one connection to it is. The one that works may be given up with a
    /// call that is dropped midway, so another one keeps it.
    pub(crate) async fn in_memory(now: Timestamp) -> Result<Self> {
        let place: Arc<str> = "memory".into();
        let classify = |error| fault::classify_opening(Arc::clone(&place), error);
        // A name of its own, which connections of this process share.
        let named = SqliteConnectOptions::from_str("sqlite::memory:").map_err(classify)?;
        let options = configured(named);
        let keeper = pool(1).connect_with(options.clone()).await.map_err(classify)?;
        let writer: SqlitePool = pool(1).connect_lazy_with(options);
        let readers = writer.clone();
        let database = Self {
            place,
            writer,
            readers,
            ownership: Ownership::Store { keeper: Some(keeper) },
        };
        migrate::bring_up(&database, Migrations::Run, now).await?;
        Ok(database)
    }
}

fn options() -> SqliteConnectOptions {
    configured(SqliteConnectOptions::new())
}

fn configured(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        // FULL: with NORMAL a loss of power may undo the last commits, and with them the promise that no version, fence
        // or refresh token comes up twice.
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "ON")
        .pragma("journal_size_limit", MAX_WAL_KEPT)
        .disable_statement_logging()
}

fn pool(size: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
}

/// Turns WAL on, which stays in the file.
///
/// On a connection of its own, because the switch needs a lock that the busy timeout does not wait for: of several
/// processes that start at once on a new file, one switches and the others look again.
async fn turn_wal_on(place: &Arc<str>, options: &SqliteConnectOptions) -> Result<()> {
    let attempt = async || {
        let mut connection = options.connect().await?;
        let mode: String = sqlx::query_scalar("PRAGMA journal_mode = WAL")
            .fetch_one(&mut connection)
            .await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(mode)
    };
    let step = Duration::from_millis(25);
    let mut waited = Duration::ZERO;
    loop {
        match attempt().await {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => return Ok(()),
            Ok(mode) => {
                let problem = format!("it stays in journal mode {mode:?}; put it on a local disk, where WAL works");
                return Err(refuse(place, problem));
            }
            Err(e) if fault::is_busy(&e) && waited < PATIENCE => {
                tokio::time::sleep(step).await;
                waited += step;
            }
            Err(e) => return Err(fault::classify_opening(Arc::clone(place), e)),
        }
    }
}

/// Makes sure that there is a file that only its owner can read, and returns its absolute path.
///
/// SQLite gives `-wal` and `-shm` the mode of the database itself.
fn prepare(path: &Path) -> Result<PathBuf> {
    let shown = path.display().to_string();
    if path.as_os_str().is_empty() || path.to_str().is_none_or(|path| path.contains('\0')) {
        return Err(refuse(&shown, "the path must be text in UTF-8, not empty, without NUL"));
    }
    // Whole, so that SQLite takes no `file:` or `:memory:` at its beginning for an order.
    let path = std::path::absolute(path).map_err(|e| refuse(&shown, e.to_string()))?;
    match private().open(&path) {
        Ok(_) => return Ok(path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(refuse(&shown, unmade(&path, &e))),
    }
    // Looked at, never opened: closing it would free the locks that another store of this process holds on it (POSIX).
    match fs::metadata(&path) {
        Ok(about) if about.is_file() => Ok(path),
        Ok(about) if about.is_dir() => Err(refuse(&shown, "it is a directory; name a file in it")),
        Ok(_) => Err(refuse(&shown, "it is no file; name one, or a path where none is yet")),
        Err(e) => Err(refuse(&shown, format!("{e}; let this process read it"))),
    }
}

fn unmade(path: &Path, error: &io::Error) -> String {
    match path.parent() {
        Some(parent) if !parent.is_dir() => {
            format!(
                "there is no directory {:?}; make it first",
                parent.display().to_string()
            )
        }
        _ => format!("the file cannot be made ({error}); let this process write to its directory"),
    }
}

fn refuse(place: &str, problem: impl Into<String>) -> SqlError {
    SqlError::Place {
        backend: "SQLite",
        place: place.to_owned(),
        problem: problem.into(),
    }
}
