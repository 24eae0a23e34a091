//! A key provider in memory.

use std::{collections::HashMap, fmt, sync::Mutex};

use async_trait::async_trait;
use uuid::Uuid;

use super::lock;
use crate::{DataKey, Error, KeyId, KeyProvider, Result, WrappedKey};

/// A [`KeyProvider`] in memory, for tests. It encrypts nothing: it keeps each data key itself, and the wrapped key is a
/// random number under which it finds it again. What it wrapped is lost with it.
pub struct MemoryKeys(Mutex<Wrapped>);

struct Wrapped {
    /// So that two providers have no key id in common.
    provider: Uuid,
    version: u64,
    /// The oldest version that still unwraps.
    oldest: u64,
    keys: HashMap<Vec<u8>, Entry>,
}

struct Entry {
    key: KeyId,
    version: u64,
    context: String,
    data_key: DataKey,
}

impl MemoryKeys {
    /// Creates a provider with one version of its key.
    ///
    /// ```
    /// let keys = portolan_core::memory::MemoryKeys::new();
    /// ```
    pub fn new() -> Self {
        Self(Mutex::new(Wrapped {
            provider: Uuid::now_v7(),
            version: 1,
            oldest: 1,
            keys: HashMap::new(),
        }))
    }

    /// Makes a new version of the key the current one.
    pub fn rotate(&self) {
        lock(&self.0).version += 1;
    }

    /// Takes away all versions before the current one.
    ///
    /// ```
    /// use portolan_core::{DataKey, KeyProvider, memory::MemoryKeys};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
    /// let keys = MemoryKeys::new();
    /// let wrapped = keys.wrap(&DataKey::new([7; 32]), "a").await?;
    /// keys.rotate();
    /// keys.forget_older();
    /// assert!(keys.unwrap(&wrapped, "a").await.is_err());
    /// # Ok::<(), portolan_core::Error>(())
    /// # }).expect("forgotten");
    /// ```
    pub fn forget_older(&self) {
        let mut kept = lock(&self.0);
        kept.oldest = kept.version;
        let oldest = kept.oldest;
        kept.keys.retain(|_, entry| entry.version >= oldest);
    }
}

impl Wrapped {
    fn current(&self) -> Result<KeyId> {
        KeyId::parse(format!("memory:{}:{}", self.provider, self.version))
    }
}

impl Default for MemoryKeys {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl KeyProvider for MemoryKeys {
    async fn current(&self) -> Result<KeyId> {
        lock(&self.0).current()
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        let mut kept = lock(&self.0);
        let (key, bytes) = (kept.current()?, Uuid::now_v7().as_bytes().to_vec());
        let entry = Entry {
            key: key.clone(),
            version: kept.version,
            context: context.to_owned(),
            data_key: data_key.clone(),
        };
        kept.keys.insert(bytes.clone(), entry);
        Ok(WrappedKey { key, bytes })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        let kept = lock(&self.0);
        let entry = kept.keys.get(&wrapped.bytes);
        let fits = entry.filter(|entry| entry.key == wrapped.key && entry.context == context);
        fits.map(|entry| entry.data_key.clone()).ok_or_else(|| {
            let problem = format!("{} did not wrap this for {context:?}", wrapped.key);
            Error::invalid("wrapped key", problem)
        })
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = lock(&self.0);
        f.debug_struct("MemoryKeys")
            .field("version", &kept.version)
            .field("wrapped", &kept.keys.len())
            .finish_non_exhaustive()
    }
}
