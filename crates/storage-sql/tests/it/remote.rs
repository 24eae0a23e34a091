//! A key provider like one behind a network: slow, at times away, with versions of its key, and it counts its calls.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use portolan_core::{DataKey, Error, KeyId, KeyProvider, Result, WrappedKey};
use portolan_storage_sql::SealingKeys;

/// The provider. Each version of its key is a sealing key of its own.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    /// The versions that it still has, and the last one's number.
    versions: Mutex<Vec<(u8, std::sync::Arc<SealingKeys>)>>,
    delay: Duration,
    away: AtomicBool,
    /// Every so many calls one fails; 0 for never.
    fails_every: AtomicU64,
    calls: AtomicU64,
    unwraps: AtomicU64,
}

impl Default for RemoteKeys {
    fn default() -> Self {
        let keys = Self {
            versions: Mutex::default(),
            delay: Duration::from_millis(1),
            away: AtomicBool::new(false),
            fails_every: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            unwraps: AtomicU64::new(0),
        };
        keys.rotate();
        keys
    }
}

impl RemoteKeys {
    /// Makes a new version of the key the current one.
    pub(crate) fn rotate(&self) {
        let mut versions = self.versions.lock().expect("no panic");
        let number = versions.last().map_or(1, |(number, _)| number + 1);
        let keys = SealingKeys::new(&[number; 32]).expect("a key");
        versions.push((number, std::sync::Arc::new(keys)));
    }

    /// Takes away all versions but the current one.
    pub(crate) fn forget_older(&self) {
        let mut versions = self.versions.lock().expect("no panic");
        let older = versions.len() - 1;
        versions.drain(..older);
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub(crate) fn fail_every(&self, calls: u64) {
        self.fails_every.store(calls, Ordering::SeqCst);
    }

    pub(crate) fn unwraps(&self) -> u64 {
        self.unwraps.load(Ordering::SeqCst)
    }

    async fn call(&self) -> Result<()> {
        tokio::time::sleep(self.delay).await;
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let every = self.fails_every.load(Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) || (every > 0 && call.is_multiple_of(every)) {
            return Err(Error::unavailable("the far key service", "a planned fault"));
        }
        Ok(())
    }

    fn name(number: u8) -> KeyId {
        KeyId::parse(format!("far:{number}")).expect("an id")
    }

    fn last(&self) -> (u8, std::sync::Arc<SealingKeys>) {
        self.versions
            .lock()
            .expect("no panic")
            .last()
            .expect("a version")
            .clone()
    }
}

#[async_trait]
impl KeyProvider for RemoteKeys {
    async fn current(&self) -> Result<KeyId> {
        Ok(Self::name(self.last().0))
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        self.call().await?;
        let (number, keys) = self.last();
        let wrapped = keys.wrap(data_key, context).await?;
        Ok(WrappedKey {
            key: Self::name(number),
            bytes: wrapped.bytes,
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        self.call().await?;
        self.unwraps.fetch_add(1, Ordering::SeqCst);
        let versions = self.versions.lock().expect("no panic").clone();
        let found = versions
            .into_iter()
            .find(|(number, _)| Self::name(*number) == wrapped.key);
        let Some((_, keys)) = found else {
            let problem = format!("key {} is not there", wrapped.key);
            return Err(Error::invalid("wrapped key", problem));
        };
        let inner = WrappedKey {
            key: keys.current().await?,
            bytes: wrapped.bytes.clone(),
        };
        keys.unwrap(&inner, context).await
    }
}
