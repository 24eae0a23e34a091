//! Why an outgoing request failed.

use std::time::Duration;

use portolan_core::BoxError;

/// A failed request of an [`EgressClient`](crate::EgressClient). Messages name the host, and no path, query, header or body.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The URL has a scheme other than `https` (and `http` for an allowed host), no host, or a user name or password.
    #[error("the URL of host {host:?} is refused: {problem}")]
    Url {
        /// The host; empty if the URL has none.
        host: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// The host has no public address.
    #[error("{host:?} is not on the public internet; if it shall be reached, allow it with EgressConfig::allow_host")]
    Private {
        /// The host.
        host: String,
    },
    /// The answer did not come in time.
    #[error("{host:?} did not answer within {} s", .within.as_secs_f32())]
    Timeout {
        /// The host.
        host: String,
        /// The bound.
        within: Duration,
    },
    /// The body of the answer is too long.
    #[error("the answer of {host:?} has more than {max} bytes")]
    TooLong {
        /// The host.
        host: String,
        /// The bound in bytes.
        max: usize,
    },
    /// The host cannot be reached, or broke off.
    #[error("{host:?} cannot be reached")]
    Connect {
        /// The host.
        host: String,
        /// The cause, without the URL.
        #[source]
        source: BoxError,
    },
    /// The client cannot be set up.
    #[error("the TLS client cannot be set up")]
    Setup(#[source] BoxError),
}
