//! SQLite's failures, by what can be done about them.

use std::sync::Arc;

use crate::error::SqlError;

/// What the primary result codes mean for whoever called (https://sqlite.org/rescode.html).
pub(super) fn classify(place: Arc<str>, action: &'static str, error: sqlx::Error) -> SqlError {
    let (again, remedy) = match primary_code(&error) {
        Some(5 | 6 | 15) => (true, "another process is writing for too long; try again"),
        Some(10) => (true, "the disk did not do its part; look at the disk, then try again"),
        Some(13) => (true, "the disk is full; make room, then try again"),
        Some(7) => (true, "there is no memory left; try again later"),
        Some(14) => (
            true,
            "the file cannot be opened; is it still there, and may this process open more files?",
        ),
        Some(3 | 8 | 23) => (
            false,
            "it cannot be written; let this process write the file and its directory",
        ),
        Some(11) => (false, "the file is damaged; restore it from a backup"),
        Some(26) => (
            false,
            "the file is no SQLite database; move it away, or restore a backup",
        ),
        Some(19) => (
            false,
            "its rows contradict each other; somebody else wrote to portolan_ tables, or this is a bug",
        ),
        Some(1 | 17) => (false, "its tables are not as this release made them; restore a backup"),
        Some(_) => (false, "SQLite refused; its message says why"),
        None => without_code(&error),
    };
    let source = Box::new(error);
    let backend = "SQLite";
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

/// The same for the first attempt to open a file: one that cannot be opened then will not be, later.
pub(super) fn classify_opening(place: Arc<str>, error: sqlx::Error) -> SqlError {
    let action = "open the database";
    if primary_code(&error) != Some(14) {
        return classify(place, action, error);
    }
    SqlError::Refused {
        backend: "SQLite",
        place,
        action,
        remedy: "let this process read and write the file and its directory",
        source: Box::new(error),
    }
}

/// Whether somebody else holds a lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6 | 15))
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

fn without_code(error: &sqlx::Error) -> (bool, &'static str) {
    match error {
        sqlx::Error::PoolTimedOut => (true, "all connections are in use; try again"),
        sqlx::Error::PoolClosed => (true, "the store was closed; open it again"),
        sqlx::Error::WorkerCrashed | sqlx::Error::Io(_) => (true, "the connection broke; try again"),
        sqlx::Error::Encode(_) => (false, "the value could not be sealed"),
        _ => (
            false,
            "what is stored is not what this release stores; restore a backup",
        ),
    }
}
