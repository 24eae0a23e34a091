//! Envelope encryption: each record has a data key of its own, which a provider wraps.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest;
use portolan_core::{DataKey, Error, KeyId, KeyProvider, Result, WrappedKey};
use quick_cache::sync::Cache;
use tokio::time::Instant;

use crate::{
    keyring::Keyring,
    rows::{ProbeRow, WrappedRow, WrappedWith},
    seal::{OpenError, Opened, PROBE, SealError, body},
};

/// The most unwrapped data keys in memory.
const MAX_CACHED: usize = 10_000;
/// How long an unwrapped data key stays in memory, so that a key that was withdrawn at the provider ends there too.
const CACHED_FOR: Duration = Duration::from_secs(3_600);
/// How often a data key is wrapped again when the provider's key changes meanwhile.
const WRAPS: usize = 3;
/// The text of a probe.
const PROBE_TEXT: &[u8] = b"portolan";

/// What a sealed record is: its associated data, so that nothing opens in another place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    /// `secret` or `one-time`.
    pub(crate) kind: &'static str,
    pub(crate) key: &'a str,
}

impl Identity<'_> {
    /// The context of the wrapped data key.
    fn context(&self) -> String {
        format!("portolan/{}/{}", self.kind, self.key)
    }

    /// The associated data of the text. `state` is what tells one state of the record from another: version, expiry.
    fn state(&self, state: i128) -> String {
        format!("portolan {} v2\0{}\0{state}", self.kind, self.key)
    }
}

/// A fresh data key for one record.
pub(crate) struct Envelope<'a> {
    identity: Identity<'a>,
    data_key: DataKey,
    wrapped: WrappedRow,
    probe: Arc<ProbeRow>,
}

impl Envelope<'_> {
    /// What is written with the sealed text.
    pub(crate) fn with(&self) -> WrappedWith<'_> {
        WrappedWith {
            wrapped: &self.wrapped,
            probe: &self.probe,
        }
    }

    pub(crate) fn into_parts(self) -> (WrappedRow, Arc<ProbeRow>) {
        (self.wrapped, self.probe)
    }

    /// Seals the text of the record in this state.
    pub(crate) fn seal(&self, state: i128, text: &[u8]) -> Result<Vec<u8>, SealError> {
        body::seal(&self.data_key, &self.identity.state(state), text)
    }
}

/// The keys of one store, and what it remembers of them.
#[derive(Debug)]
pub(crate) struct Envelopes {
    keys: Keyring,
    /// Unwrapped data keys, by a digest of the wrapped one and its context. They are zeroed when they leave.
    unwrapped: Cache<[u8; 32], (Instant, DataKey)>,
    /// The probe of the key that wrapped last.
    probe: Mutex<Option<Arc<ProbeRow>>>,
}

impl Envelopes {
    pub(crate) fn new(keys: Keyring) -> Self {
        Self {
            keys,
            unwrapped: Cache::new(MAX_CACHED),
            probe: Mutex::new(None),
        }
    }

    pub(crate) async fn current(&self) -> Result<KeyId> {
        self.keys.current().await
    }

    /// Makes a data key for a record.
    pub(crate) async fn create<'a>(&self, identity: Identity<'a>) -> Result<Envelope<'a>> {
        let data_key = body::new_data_key().map_err(unsealed)?;
        let (wrapped, probe) = self.wrap(&data_key, identity).await?;
        Ok(Envelope {
            identity,
            data_key,
            wrapped,
            probe,
        })
    }

    /// Wraps a data key, and gives the probe of the key that wrapped it.
    async fn wrap(&self, data_key: &DataKey, identity: Identity<'_>) -> Result<(WrappedRow, Arc<ProbeRow>)> {
        let context = identity.context();
        for _ in 0..WRAPS {
            let wrapped = self.keys.wrap(data_key, &context).await?;
            let Some(probe) = self.probe_of(&wrapped.key).await? else {
                continue;
            };
            // Who writes a record often reads it next.
            let cached = (Instant::now(), data_key.clone());
            self.unwrapped.insert(cache_key(&wrapped, &context), cached);
            return Ok((row(wrapped), probe));
        }
        let problem = "its current key changes from call to call; ask it again when it has settled";
        Err(Error::unavailable("key provider", problem))
    }

    /// Opens a record that is sealed under a data key.
    pub(crate) async fn open(
        &self,
        identity: Identity<'_>,
        state: i128,
        sealed: &[u8],
        wrapped: Option<&WrappedRow>,
    ) -> Result<Opened, OpenError> {
        let wrapped = wrapped.ok_or(SealError::Changed)?;
        let data_key = self.unwrap(identity, wrapped).await?;
        Ok(body::open(&data_key, &identity.state(state), sealed)?)
    }

    /// Opens a record that a key sealed directly.
    pub(crate) fn open_direct(&self, purpose: &str, sealed: &[u8]) -> Result<Opened, SealError> {
        self.keys.open_direct(purpose, sealed)
    }

    /// Wraps the data key of a record with the key that is current now.
    pub(crate) async fn rewrap(
        &self,
        identity: Identity<'_>,
        wrapped: &WrappedRow,
    ) -> Result<(WrappedRow, Arc<ProbeRow>), OpenError> {
        let data_key = self.unwrap(identity, wrapped).await?;
        Ok(self.wrap(&data_key, identity).await?)
    }

    async fn unwrap(&self, identity: Identity<'_>, wrapped: &WrappedRow) -> Result<DataKey, OpenError> {
        let context = identity.context();
        let wrapped = WrappedKey {
            key: KeyId::parse(wrapped.key_id.as_str())?,
            bytes: wrapped.data_key.clone(),
        };
        let key = cache_key(&wrapped, &context);
        if let Some((since, data_key)) = self.unwrapped.get(&key) {
            if since.elapsed() < CACHED_FOR {
                return Ok(data_key);
            }
            self.unwrapped.remove(&key);
        }
        // Of many who read at once, one asks the provider.
        let unwrap = async {
            let data_key = self.keys.unwrap(&wrapped, &context).await?;
            Ok::<_, Error>((Instant::now(), data_key))
        };
        let (_, data_key) = self.unwrapped.get_or_insert_async(&key, unwrap).await?;
        Ok(data_key)
    }

    /// Returns the probe of a key, which is written with whatever the key wraps; `None` if the key is current no more.
    async fn probe_of(&self, key: &KeyId) -> Result<Option<Arc<ProbeRow>>> {
        let known = self.probe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(probe) = known.filter(|probe| probe.key_id == key.as_str()) {
            return Ok(Some(probe));
        }
        let data_key = body::new_data_key().map_err(unsealed)?;
        let wrapped = self.keys.wrap(&data_key, &probe_context(key.as_str())).await?;
        if wrapped.key != *key {
            return Ok(None);
        }
        let probe = body::seal(&data_key, &probe_identity(key.as_str()), PROBE_TEXT).map_err(unsealed)?;
        let probe = Arc::new(ProbeRow {
            key_id: key.to_string(),
            data_key: Some(wrapped.bytes),
            probe,
        });
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&probe));
        Ok(Some(probe))
    }

    /// Returns the probe of the current key: of those in the database, or a new one. `None` if the key changes meanwhile.
    pub(crate) async fn own_probe(&self, known: &[ProbeRow]) -> Result<Option<Arc<ProbeRow>>> {
        let current = self.current().await?;
        let wrapped = |probe: &&ProbeRow| probe.key_id == current.as_str() && probe.data_key.is_some();
        match known.iter().find(wrapped) {
            None => self.probe_of(&current).await,
            Some(found) => {
                let probe = Arc::new(found.clone());
                *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&probe));
                Ok(Some(probe))
            }
        }
    }

    /// Fails unless the keys open a probe.
    pub(crate) async fn check(&self, probe: &ProbeRow) -> Result<(), OpenError> {
        let Some(data_key) = &probe.data_key else {
            self.open_direct(PROBE, &probe.probe)?;
            return Ok(());
        };
        let wrapped = WrappedKey {
            key: KeyId::parse(probe.key_id.as_str())?,
            bytes: data_key.clone(),
        };
        let data_key = self.keys.unwrap(&wrapped, &probe_context(&probe.key_id)).await?;
        let opened = body::open(&data_key, &probe_identity(&probe.key_id), &probe.probe)?;
        if opened.bytes() == PROBE_TEXT {
            return Ok(());
        }
        Err(SealError::Changed.into())
    }
}

fn unsealed(error: SealError) -> Error {
    Error::backend("SQL store", "seal a record", error)
}

fn row(wrapped: WrappedKey) -> WrappedRow {
    WrappedRow {
        key_id: wrapped.key.into(),
        data_key: wrapped.bytes,
    }
}

fn probe_context(key_id: &str) -> String {
    format!("portolan/probe/{key_id}")
}

fn probe_identity(key_id: &str) -> String {
    format!("portolan probe v2\0{key_id}")
}

fn cache_key(wrapped: &WrappedKey, context: &str) -> [u8; 32] {
    let mut digest = digest::Context::new(&digest::SHA256);
    for part in [wrapped.key.as_str().as_bytes(), context.as_bytes()] {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    digest.update(&wrapped.bytes);
    let mut key = [0; 32];
    key.copy_from_slice(digest.finish().as_ref());
    key
}
