//! The mark that a version of a credential is being spent. It is stored beside the credential, in the same store.

use std::{num::NonZeroU64, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CredentialKey, CredentialStore, Error, Precondition, Result, Secret, Version, Versioned};

/// What is added to the key of a credential. Keys of fields never end so: a `.` in them begins two hexadecimal digits.
const SUFFIX: &str = ".spent";

/// A mark. It is never removed, only overwritten, so that each change of it is a compare-and-set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The version that is being spent; `None` once it is known that it is not.
    spending: Option<NonZeroU64>,
    since: Timestamp,
    /// The fence of the lease under which it was written. It tells one holder's mark from another's.
    fence: u64,
}

impl Mark {
    pub(super) fn spending(version: Version, since: Timestamp, fence: u64) -> Self {
        Self {
            spending: Some(version.0),
            since,
            fence,
        }
    }

    /// Returns when the exchange of `version` began, if one did.
    pub(super) fn spending_since(&self, version: Version) -> Option<Timestamp> {
        (self.spending == Some(version.0)).then_some(self.since)
    }

    pub(super) fn since(&self) -> Timestamp {
        self.since
    }

    fn cleared(&self) -> Self {
        Self {
            spending: None,
            ..self.clone()
        }
    }
}

/// The place of the mark of one credential.
pub(super) struct Marks {
    store: Arc<dyn CredentialStore>,
    key: CredentialKey,
}

impl Marks {
    pub(super) fn new(store: Arc<dyn CredentialStore>, credential: &CredentialKey) -> Result<Self> {
        let key = CredentialKey::parse(format!("{credential}{SUFFIX}")).map_err(|_| {
            let problem = format!("is too long to be refreshed; use at most {} bytes", 400 - SUFFIX.len());
            Error::invalid("credential key", problem)
        })?;
        Ok(Self { store, key })
    }

    pub(super) async fn read(&self) -> Result<Option<Versioned<Mark>>> {
        let Some(stored) = self.store.read(&self.key).await? else {
            return Ok(None);
        };
        let value = serde_json::from_str(stored.value.reveal()).map_err(|_| {
            let problem = "holds something other than the mark of a refresh; remove it, and sign in again";
            Error::invalid(self.key.as_str(), problem)
        })?;
        let version = stored.version;
        Ok(Some(Versioned { value, version }))
    }

    pub(super) async fn write(&self, mark: &Mark, when: Precondition) -> Result<Version> {
        let text = serde_json::to_string(mark).map_err(|e| Error::invalid("mark", e.to_string()))?;
        self.store.put(&self.key, Secret::new(text), when).await
    }

    /// Writes that the version is not spent, or that it no longer matters. If that fails, or somebody else has written
    /// since, the mark stays: then the user may be asked to sign in again for nothing.
    pub(super) async fn clear(&self, mark: &Versioned<Mark>) {
        let when = Precondition::Version(mark.version);
        if let Err(error) = self.write(&mark.value.cleared(), when).await {
            tracing::warn!(key = self.key.as_str(), %error, "the mark of a refresh stays");
        }
    }

    /// The same for a mark of which it is not known whether it was written.
    pub(super) async fn clear_own(&self, own: &Mark) {
        match self.read().await {
            Ok(Some(found)) if found.value == *own => self.clear(&found).await,
            Ok(_) => {}
            Err(error) => tracing::warn!(key = self.key.as_str(), %error, "the mark of a refresh may stay"),
        }
    }
}
