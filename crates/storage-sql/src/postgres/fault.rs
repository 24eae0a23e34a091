//! PostgreSQL's failures, by what can be done about them.

use std::{io, sync::Arc};

use super::BACKEND;
use crate::error::SqlError;

/// Whether the same call may succeed later, and what to do.
type Verdict = (bool, &'static str);

/// What an error means for whoever called.
pub(super) fn classify(place: Arc<str>, action: &'static str, error: sqlx::Error) -> SqlError {
    let (again, remedy) = judge(&error);
    let source = Box::new(error);
    let backend = BACKEND;
    if again {
        return SqlError::Away {
            backend,
            place,
            action,
            remedy,
            source,
        };
    }
    SqlError::Refused {
        backend,
        place,
        action,
        remedy,
        source,
    }
}

/// The same for the first connection.
pub(super) fn classify_opening(place: Arc<str>, error: sqlx::Error) -> SqlError {
    classify(place, "open the database", error)
}

fn judge(error: &sqlx::Error) -> Verdict {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            by_code(&code, database.message())
        }
        sqlx::Error::Io(io) if io.kind() == io::ErrorKind::InvalidData => (
            false,
            "the server's certificate is not trusted; name its authority with sslrootcert in the URL",
        ),
        sqlx::Error::Tls(_) => (
            false,
            "the server offers no TLS that this side accepts; see sslmode in the URL",
        ),
        sqlx::Error::PoolTimedOut => (true, "it does not answer, or all connections are in use; try again"),
        sqlx::Error::PoolClosed => (true, "the store was closed; open it again"),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed => {
            (true, "the connection broke; try again")
        }
        sqlx::Error::Protocol(_) => (
            true,
            "the connection got out of step; try again, and if a pooler stands between, use behind_transaction_pooler",
        ),
        sqlx::Error::Encode(_) => (false, "the value could not be sealed"),
        _ => (
            false,
            "what is stored is not what this release stores; restore a backup",
        ),
    }
}

/// What the SQLSTATE codes mean (https://www.postgresql.org/docs/current/errcodes-appendix.html).
fn by_code(code: &str, message: &str) -> Verdict {
    match code {
        "40001" | "40P01" => (true, "another transaction was in the way; try again"),
        "55P03" => (true, "another transaction holds a lock for too long; try again"),
        "57014" => (true, "the statement took too long; try again"),
        "57P01" | "57P02" | "57P03" | "25P03" | "57P05" => (true, "the server ended the connection; try again"),
        "25006" => (
            true,
            "the server takes no writes now, as a standby does; try again, or give the primary's address",
        ),
        "26000" | "42P05" => (
            false,
            "a transaction pooler stands between; use SqlConfig::behind_transaction_pooler",
        ),
        "0A000" => (true, "the tables changed under this connection; try again"),
        "08P01" if message.contains("startup parameter") => (
            false,
            "a pooler stands between that refuses a startup parameter; use SqlConfig::behind_transaction_pooler",
        ),
        "3D000" => (false, "there is no such database; make it first"),
        "42501" => (
            false,
            "this user may not do that; give it the schema and its tables, or CREATE on the database for the first start",
        ),
        "42P01" | "42703" | "3F000" => (false, "its tables are not as this release made them; restore a backup"),
        "53100" => (true, "the server's disk is full; make room, then try again"),
        _ => by_class(code.get(..2).unwrap_or_default()),
    }
}

fn by_class(class: &str) -> Verdict {
    match class {
        // A pooler tells with 08P01 that its server went away.
        "08" => (true, "the connection broke; try again"),
        "28" => (
            false,
            "the server refuses this user; look at user and password in the URL",
        ),
        "53" => (true, "the server has no connections or memory left; try again later"),
        "57" | "58" => (true, "the server could not do its part; try again"),
        "23" => (
            false,
            "its rows contradict each other; somebody else wrote to its tables, or this is a bug",
        ),
        _ => (false, "PostgreSQL refused; its message says why"),
    }
}
