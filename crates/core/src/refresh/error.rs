//! How a refresh can fail.

use jiff::Timestamp;

use crate::{Error, Failure, FailureKind};

/// Why an exchange gave no new credential: what is known about the old one.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The token is certainly unspent: the provider was not reached, or answered that it has done nothing.
    #[error("{0}")]
    Unspent(#[source] Error),
    /// The provider refused the token (`invalid_grant`): it is no longer valid.
    #[error("the provider refused the credential: {message}")]
    Refused {
        /// The provider's reason, without secrets.
        message: String,
    },
    /// The request may have reached the provider, and there is no answer that says more.
    #[error("{0}")]
    Unknown(#[source] Error),
}

/// Why a credential was not refreshed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshError {
    /// There is no credential under the key.
    #[error("there is no credential to refresh; sign in")]
    Missing,
    /// The provider refused the credential. The user has to sign in again.
    #[error("the provider no longer accepts the sign-in: {message}; sign in again")]
    Refused {
        /// The provider's reason.
        message: String,
    },
    /// An exchange of this credential began and nobody knows its outcome: whoever began it has died, or got no answer. The
    /// provider may have spent the token, and presenting it again may revoke the whole grant. The user has to sign in
    /// again.
    #[error("a refresh of the sign-in began at {since} and its outcome is unknown, so it may be spent; sign in again")]
    OutcomeUnknown {
        /// When the exchange began.
        since: Timestamp,
    },
    /// The provider gave a new credential, and the store could not be made to keep it. The user has to sign in again.
    #[error("the refreshed sign-in could not be stored and is lost; sign in again")]
    NotStored {
        /// The last error of the store.
        source: Error,
    },
    /// Nothing was spent. [`Error::is_retryable`] says whether the same call may succeed later.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl RefreshError {
    /// Returns `true` if only a new sign-in helps.
    ///
    /// ```
    /// use portolan_core::{Error, RefreshError};
    ///
    /// assert!(RefreshError::Missing.needs_sign_in());
    /// assert!(!RefreshError::from(Error::unavailable("SQLite", "locked")).needs_sign_in());
    /// ```
    pub fn needs_sign_in(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<RefreshError> for Error {
    /// A need to sign in becomes an [`Error::NotReady`] whose failure is of kind [`FailureKind::Credential`].
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Failed(error) => error,
            other => {
                let failure = Failure::new(FailureKind::Credential, other.to_string()).remedy("sign in again");
                Self::not_ready("credential", "of the sign-in", failure)
            }
        }
    }
}
