//! The one error type of the contracts: variants by what the caller can do about it.

use std::{convert::Infallible, fmt, time::Duration};

use crate::failure::Failure;

/// A source error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The result of every contract in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong, by what the caller can do about it.
///
/// `Display` is one line for a person and never contains a secret; [`std::error::Error::source`] leads on to the
/// cause; [`Error::remedy`] is the sentence that says what to do. `Debug` is all of this, each on a line of its own, so
/// that a `main` which returns this error tells a person what a person needs.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thing is not there, or the caller may not know that it is.
    #[error("no {what} named {name:?}")]
    NotFound {
        /// The kind of thing, such as `server`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Somebody else changed the thing since it was read. Read it again, then decide again.
    #[error("{what} {name:?} changed meanwhile")]
    Conflict {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The caller may not do this.
    #[error("not allowed to {action}")]
    Denied {
        /// What was refused, as a verb phrase.
        action: String,
    },
    /// A value from outside does not fit; nothing was written.
    #[error("{field}: {problem}")]
    Invalid {
        /// Which value.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A server cannot be used now. See [`Failure::is_retryable`].
    #[error("{what} {} is not ready: {failure}", quoted(.name))]
    NotReady {
        /// The kind of thing, such as `install`.
        what: &'static str,
        /// Its name, or its title as [`Install::title`](crate::Install::title) writes it.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// The wait ended before the outcome was known. What was asked for may still happen.
    #[error("{action} took longer than {}", crate::failure::seconds(*.after))]
    Timeout {
        /// What was waited for, as a noun phrase.
        action: String,
        /// How long.
        after: Duration,
    },
    /// A documented bound was reached; nothing was queued.
    #[error("too many {what}: the limit is {limit}")]
    Exhausted {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A backend does not answer. The same call may succeed later.
    #[error("{backend} does not answer")]
    Unavailable {
        /// The backend, as a noun such as `SQLite` or `Kubernetes`.
        backend: &'static str,
        /// Why.
        source: BoxError,
    },
    /// A backend answered that it could not do it. The same call will fail again.
    #[error("{backend} could not {action}")]
    Backend {
        /// The backend, as a noun.
        backend: &'static str,
        /// What it was asked to do, as a verb phrase.
        action: String,
        /// Why.
        source: BoxError,
    },
}

impl Error {
    /// An [`Error::Invalid`].
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// An [`Error::NotFound`].
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    /// An [`Error::Conflict`].
    pub fn conflict(what: &'static str, name: impl ToString) -> Self {
        Self::Conflict {
            what,
            name: name.to_string(),
        }
    }

    /// Whether the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::Exhausted { .. } => true,
            Self::NotReady { failure, .. } => failure.is_retryable(),
            _ => false,
        }
    }

    /// What to do about it, as one sentence, where there is something to do.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotReady { failure, .. } => failure.remedy.clone(),
            Self::Conflict { .. } => Some("read it again and repeat the change on what it is now".into()),
            Self::Exhausted { what, .. } => Some(format!("try again later, or raise the limit of {what}")),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        if let Self::NotReady { failure, .. } = self {
            failure.detail.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            write!(f, "\n  because {cause}")?;
            source = cause.source();
        }
        self.remedy().map_or(Ok(()), |remedy| write!(f, "\n  {remedy}"))
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A name in quotes. A title has its own: `"github" for team "web"`.
fn quoted(name: &str) -> String {
    if name.starts_with('"') {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}
