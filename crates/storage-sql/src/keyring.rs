//! The key providers of one store: the one that wraps, and earlier ones.

use std::sync::Arc;

use async_trait::async_trait;
use portolan_core::{DataKey, Error, KeyId, KeyProvider, Result, WrappedKey};

use crate::{
    SealingKeys,
    seal::{Opened, SealError},
};

/// The keys that a store is opened with: a provider that wraps the data keys of its records, and earlier providers that
/// still unwrap theirs.
///
/// [`SealingKeys`] and any `Arc<dyn KeyProvider>` convert into one. To move from one provider to another, open the store
/// with both and let it [rewrap](crate::SqlStore::rewrap); then the earlier one can go.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{KeyProvider, memory::MemoryKeys};
/// use portolan_storage_sql::{Keyring, SealingKeys};
///
/// let vault: Arc<dyn KeyProvider> = Arc::new(MemoryKeys::new()); // a real one here
/// let keys = Keyring::from(vault).with_older(SealingKeys::new(&[7; 32])?);
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Keyring {
    current: Arc<dyn KeyProvider>,
    older: Vec<Arc<dyn KeyProvider>>,
    /// Those that may have sealed records directly, as releases before envelope encryption did.
    direct: Vec<Arc<SealingKeys>>,
}

impl Keyring {
    /// Adds providers that only unwrap. They are asked in the order in which they were added.
    #[must_use]
    pub fn with_older(mut self, older: impl Into<Self>) -> Self {
        let older = older.into();
        self.older.push(older.current);
        self.older.extend(older.older);
        self.direct.extend(older.direct);
        self
    }

    /// Opens what a key sealed directly.
    pub(crate) fn open_direct(&self, purpose: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        let mut refused = None;
        for keys in &self.direct {
            match keys.open(purpose, sealed) {
                Ok(opened) => return Ok(opened),
                // Another one may know it.
                Err(unknown @ SealError::UnknownKey(_)) => {
                    refused.get_or_insert(unknown);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or(SealError::Direct))
    }
}

impl From<SealingKeys> for Keyring {
    fn from(keys: SealingKeys) -> Self {
        let keys = Arc::new(keys);
        Self {
            current: keys.clone(),
            older: Vec::new(),
            direct: vec![keys],
        }
    }
}

impl From<Arc<dyn KeyProvider>> for Keyring {
    fn from(current: Arc<dyn KeyProvider>) -> Self {
        Self {
            current,
            older: Vec::new(),
            direct: Vec::new(),
        }
    }
}

#[async_trait]
impl KeyProvider for Keyring {
    async fn current(&self) -> Result<KeyId> {
        self.current.current().await
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        let wrapped = self.current.wrap(data_key, context).await?;
        if wrapped.bytes.len() > WrappedKey::MAX_LEN {
            let problem = format!("has {} bytes; at most {} fit", wrapped.bytes.len(), WrappedKey::MAX_LEN);
            return Err(Error::invalid("wrapped key", problem));
        }
        Ok(wrapped)
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        let mut refused = match self.current.unwrap(wrapped, context).await {
            Ok(data_key) => return Ok(data_key),
            Err(error) => error,
        };
        for keys in &self.older {
            match keys.unwrap(wrapped, context).await {
                Ok(data_key) => return Ok(data_key),
                // That one may be the one that knows it.
                Err(error) if error.is_retryable() => refused = error,
                Err(_) => {}
            }
        }
        Err(refused)
    }
}
