//! The error type of all contracts.

use std::{fmt, sync::Arc, time::Duration};

use crate::failure::{Failure, seconds};

/// A source error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// A source error of any type, shared between clones of an [`Error`].
pub type SharedError = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// The result of every contract in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of any contract in this crate, by what the program that gets it can do about it.
///
/// `Display` is one line; [`source`](std::error::Error::source) leads on to the underlying error; [`Error::remedy`] says
/// what to do; [`Error::report`] is all of this for a person. `Debug` shows the variant and its fields. None of them
/// contains a secret.
///
/// ```
/// use portolan_core::{Error, ErrorKind};
///
/// let error = Error::not_found("server", "github");
/// assert_eq!(error.to_string(), "no server named \"github\"");
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(format!("{error:?}"), "NotFound { what: \"server\", name: \"github\" }");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The thing does not exist, or the caller may not know that it does.
    NotFound {
        /// The kind of thing, such as `server`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The thing changed since it was read. Read it again, then decide again.
    Conflict {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// The caller may not do this.
    Denied {
        /// The refused action, as a verb phrase.
        action: String,
    },
    /// A value from outside is not valid; nothing was written.
    Invalid {
        /// The value's name.
        field: String,
        /// The problem, and what is valid.
        problem: String,
    },
    /// A server cannot be used now. See [`Failure::is_retryable`].
    NotReady {
        /// The kind of thing, such as `install`.
        what: &'static str,
        /// Its name, or its title as [`Install::title`](crate::Install::title) writes it.
        name: String,
        /// The failure.
        failure: Failure,
    },
    /// The wait ended before the outcome was known. The action may still complete.
    Timeout {
        /// The awaited action, as a noun phrase.
        action: String,
        /// The length of the wait.
        after: Duration,
    },
    /// A documented bound was reached; nothing was queued.
    Exhausted {
        /// The bounded things, in the plural.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A backend does not answer. The same call may succeed later.
    Unavailable {
        /// The backend, as a noun such as `SQLite` or `Kubernetes`.
        backend: &'static str,
        /// The underlying error.
        source: SharedError,
    },
    /// A backend refused or failed. The same call will fail again.
    Backend {
        /// The backend, as a noun.
        backend: &'static str,
        /// The requested action, as a verb phrase.
        action: String,
        /// The underlying error.
        source: SharedError,
    },
}

/// The kinds of [`Error`], one per variant, without data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// [`Error::NotFound`].
    NotFound,
    /// [`Error::Conflict`].
    Conflict,
    /// [`Error::Denied`].
    Denied,
    /// [`Error::Invalid`].
    Invalid,
    /// [`Error::NotReady`].
    NotReady,
    /// [`Error::Timeout`].
    Timeout,
    /// [`Error::Exhausted`].
    Exhausted,
    /// [`Error::Unavailable`].
    Unavailable,
    /// [`Error::Backend`].
    Backend,
}

impl Error {
    /// Creates an [`Error::Invalid`].
    ///
    /// ```
    /// let error = portolan_core::Error::invalid("port", "is 0; use 1 to 65535");
    /// assert_eq!(error.to_string(), "port: is 0; use 1 to 65535");
    /// ```
    pub fn invalid(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// Creates an [`Error::NotFound`].
    ///
    /// ```
    /// let error = portolan_core::Error::not_found("install", 7);
    /// assert_eq!(error.to_string(), "no install named \"7\"");
    /// ```
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    /// Creates an [`Error::Conflict`].
    ///
    /// ```
    /// let error = portolan_core::Error::conflict("server", "github");
    /// assert_eq!(error.to_string(), "server \"github\" changed since it was read");
    /// ```
    pub fn conflict(what: &'static str, name: impl ToString) -> Self {
        Self::Conflict {
            what,
            name: name.to_string(),
        }
    }

    /// Creates an [`Error::NotReady`].
    ///
    /// ```
    /// use portolan_core::{Error, Failure, FailureKind};
    ///
    /// let error = Error::not_ready("server", "github", Failure::new(FailureKind::Timeout, "it does not answer"));
    /// assert!(error.is_retryable());
    /// ```
    pub fn not_ready(what: &'static str, name: impl ToString, failure: Failure) -> Self {
        Self::NotReady {
            what,
            name: name.to_string(),
            failure,
        }
    }

    /// Creates an [`Error::Unavailable`].
    ///
    /// ```
    /// use std::error::Error as _;
    ///
    /// let error = portolan_core::Error::unavailable("SQLite", "the disk is gone");
    /// assert_eq!(error.source().expect("a source").to_string(), "the disk is gone");
    /// assert!(error.is_retryable());
    /// ```
    pub fn unavailable(backend: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Unavailable {
            backend,
            source: source.into().into(),
        }
    }

    /// Creates an [`Error::Backend`].
    ///
    /// ```
    /// let error = portolan_core::Error::backend("SQLite", "read a record", "it is corrupt");
    /// assert_eq!(error.to_string(), "SQLite could not read a record");
    /// ```
    pub fn backend(backend: &'static str, action: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Backend {
            backend,
            action: action.into(),
            source: source.into().into(),
        }
    }

    /// Returns the kind of this error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::NotReady { .. } => ErrorKind::NotReady,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Exhausted { .. } => ErrorKind::Exhausted,
            Self::Unavailable { .. } => ErrorKind::Unavailable,
            Self::Backend { .. } => ErrorKind::Backend,
        }
    }

    /// Returns `true` if the same call may succeed later without any change by the caller.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Timeout { .. } | Self::Exhausted { .. } => true,
            Self::NotReady { failure, .. } => failure.is_retryable(),
            _ => false,
        }
    }

    /// Returns one sentence that says what to do, where that is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotReady { failure, .. } => failure.remedy.as_deref().map(str::to_owned),
            Self::Conflict { .. } => Some("read it again and repeat the change on what it is now".into()),
            Self::Exhausted { what, .. } => Some(format!("try again later, or raise the limit of {what}")),
            _ => None,
        }
    }

    /// Returns the error as text of several lines for a person: message, details, underlying errors, remedy.
    ///
    /// ```
    /// use portolan_core::{Error, Failure, FailureKind};
    ///
    /// let failure = Failure::new(FailureKind::Image, "no such program").remedy("install uvx");
    /// let error = Error::not_ready("server", "time", failure);
    /// assert_eq!(error.report().to_string(), "server \"time\" is not ready: no such program\n  install uvx");
    /// ```
    pub fn report(&self) -> impl fmt::Display + '_ {
        Report(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { what, name } => write!(f, "no {what} named {name:?}"),
            Self::Conflict { what, name } => write!(f, "{what} {name:?} changed since it was read"),
            Self::Denied { action } => write!(f, "not allowed to {action}"),
            Self::Invalid { field, problem } => write!(f, "{field}: {problem}"),
            Self::NotReady { what, name, failure } => write!(f, "{what} {} is not ready: {failure}", quoted(name)),
            Self::Timeout { action, after } => write!(f, "{action} took longer than {}", seconds(*after)),
            Self::Exhausted { what, limit } => write!(f, "too many {what}: the limit is {limit}"),
            Self::Unavailable { backend, .. } => write!(f, "{backend} does not answer"),
            Self::Backend { backend, action, .. } => write!(f, "{backend} could not {action}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            // The error itself and not the `Arc` around it, so that it can be downcast.
            Self::Unavailable { source, .. } | Self::Backend { source, .. } => Some(&**source),
            _ => None,
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { what, name } => f
                .debug_struct("NotFound")
                .field("what", what)
                .field("name", name)
                .finish(),
            Self::Conflict { what, name } => f
                .debug_struct("Conflict")
                .field("what", what)
                .field("name", name)
                .finish(),
            Self::Denied { action } => f.debug_struct("Denied").field("action", action).finish(),
            Self::Invalid { field, problem } => f
                .debug_struct("Invalid")
                .field("field", field)
                .field("problem", problem)
                .finish(),
            Self::NotReady { what, name, failure } => f
                .debug_struct("NotReady")
                .field("what", what)
                .field("name", name)
                .field("failure", failure)
                .finish(),
            Self::Timeout { action, after } => f
                .debug_struct("Timeout")
                .field("action", action)
                .field("after", after)
                .finish(),
            Self::Exhausted { what, limit } => f
                .debug_struct("Exhausted")
                .field("what", what)
                .field("limit", limit)
                .finish(),
            Self::Unavailable { backend, source } => f
                .debug_struct("Unavailable")
                .field("backend", backend)
                .field("source", &Chain(&**source))
                .finish(),
            Self::Backend {
                backend,
                action,
                source,
            } => f
                .debug_struct("Backend")
                .field("backend", backend)
                .field("action", action)
                .field("source", &Chain(&**source))
                .finish(),
        }
    }
}

/// The messages of an error and of those below it. Their own `Debug` is not used: a driver's may show what it was sent.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        fmt::Debug::fmt(&text, f)
    }
}

struct Report<'a>(&'a Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        write!(f, "{error}")?;
        if let Error::NotReady { failure, .. } = error {
            failure.detail.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
            if let Some(action) = &failure.action {
                write!(f, "\n  {action}")?;
            }
        }
        let mut source = std::error::Error::source(error);
        while let Some(below) = source {
            write!(f, "\n  because {below}")?;
            source = below.source();
        }
        error.remedy().map_or(Ok(()), |remedy| write!(f, "\n  {remedy}"))
    }
}

/// Returns a name in quotes. A title has its own: `"github" for team "web"`.
fn quoted(name: &str) -> String {
    if name.starts_with('"') {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn debug_shows_variant_and_fields() {
        let error = Error::backend("SQLite", "read", std::io::Error::other("disk"));
        assert_eq!(
            format!("{error:?}"),
            r#"Backend { backend: "SQLite", action: "read", source: "disk" }"#
        );
    }

    #[test]
    fn clone_keeps_source() {
        let error = Error::unavailable("SQLite", std::io::Error::other("disk"));
        let copy = error.clone();
        drop(error);
        let source = copy.source().expect("a source");
        assert!(source.downcast_ref::<std::io::Error>().is_some());
    }

    #[test]
    fn report_has_all_lines() {
        let below = Error::unavailable("the network", std::io::Error::other("no route"));
        let error = Error::unavailable("Kubernetes", below);
        assert_eq!(
            error.report().to_string(),
            "Kubernetes does not answer\n  because the network does not answer\n  because no route"
        );
    }
}
