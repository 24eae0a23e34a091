//! The errors below the contracts, and how they become errors of the contracts.

use std::sync::Arc;

use portolan_core::{BoxError, Error};

use crate::seal::OpenError;

pub(crate) type Result<T, E = SqlError> = std::result::Result<T, E>;

/// An error of a database, with its place and the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqlError {
    /// The database did not answer; the same call may succeed later.
    #[error("could not {action} in {place:?}: {remedy}")]
    Away {
        backend: &'static str,
        place: Arc<str>,
        action: &'static str,
        remedy: &'static str,
        source: BoxError,
    },
    /// The database refused the statement.
    #[error("could not {action} in {place:?}: {remedy}")]
    Refused {
        backend: &'static str,
        place: Arc<str>,
        action: &'static str,
        remedy: &'static str,
        source: BoxError,
    },
    /// There can be no database at this place.
    #[error("{problem}")]
    Place {
        backend: &'static str,
        place: String,
        problem: String,
    },
    /// A stored record cannot be read by this release.
    #[error("{problem}")]
    Stored {
        place: Arc<str>,
        what: String,
        problem: String,
    },
    /// The schema is from a newer release.
    #[error("its schema has version {found}, and this release knows versions up to {known}")]
    TooNew { place: Arc<str>, found: i64, known: i64 },
    /// The schema lacks steps, and none may be taken.
    #[error("its schema lacks the steps {missing:?}")]
    Outdated { place: Arc<str>, missing: Vec<i64> },
    /// The given keys are not those of the database.
    #[error("{place:?} {problem}")]
    Keys { place: Arc<str>, problem: String },
    /// A secret could not be sealed or opened.
    #[error("{source}")]
    Seal {
        place: Arc<str>,
        action: String,
        source: Box<OpenError>,
    },
    /// The key provider did not do what it was asked for.
    #[error(transparent)]
    Provider(Box<Error>),
}

impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        Self::Provider(Box::new(error))
    }
}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let (backend, action) = match &error {
            SqlError::Away { backend, .. } => {
                return Self::unavailable(backend, error);
            }
            SqlError::Provider(error) => return (**error).clone(),
            SqlError::Seal { source, .. }
                if let OpenError::Provider(error) = &**source
                    && error.is_retryable() =>
            {
                return error.clone();
            }
            SqlError::Keys { .. } => return Self::invalid("sealing keys", error.to_string()),
            SqlError::Refused {
                backend,
                place,
                action,
                remedy,
                ..
            } => (*backend, format!("{action} in {place:?}: {remedy}")),
            SqlError::Place {
                backend,
                place,
                problem,
            } => (*backend, format!("open {place:?}: {problem}")),
            SqlError::Stored { place, what, problem } => ("SQL store", format!("read {what} in {place:?}: {problem}")),
            SqlError::TooNew { place, .. } => (
                "SQL store",
                format!("open {place:?}: {error}; use the newer release, or a backup from before it"),
            ),
            SqlError::Outdated { place, .. } => (
                "SQL store",
                format!("open {place:?}: {error}; open it once with Migrations::Run"),
            ),
            SqlError::Seal { place, action, source } => ("SQL store", format!("{action} in {place:?}: {source}")),
        };
        Self::backend(backend, action, error)
    }
}
