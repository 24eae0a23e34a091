//! A session store in memory.

use std::{collections::BTreeMap, fmt, sync::Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::{Versions, check, lock};
use crate::{Error, Precondition, Result, SessionStore, Version, Versioned};

/// A [`SessionStore`] in memory. Expired states take memory until [`sweep`](SessionStore::sweep).
#[derive(Default)]
pub struct MemorySessions(Mutex<States>);

#[derive(Default)]
struct States {
    versions: Versions,
    states: BTreeMap<String, State>,
}

struct State {
    state: Versioned<Bytes>,
    expires: Timestamp,
}

impl MemorySessions {
    /// Creates an empty store.
    ///
    /// ```
    /// let store = portolan_core::memory::MemorySessions::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

impl States {
    /// The state under `key`, unless it has expired.
    fn present(&self, key: &str, now: Timestamp) -> Option<&Versioned<Bytes>> {
        self.states
            .get(key)
            .filter(|kept| now < kept.expires)
            .map(|kept| &kept.state)
    }
}

#[async_trait]
impl SessionStore for MemorySessions {
    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Versioned<Bytes>>> {
        Ok(lock(&self.0).present(key, now).cloned())
    }

    async fn put(
        &self,
        key: &str,
        state: Bytes,
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Version> {
        let mut kept = lock(&self.0);
        let present = kept.present(key, now).map(|state| state.version);
        check(when, present, || Error::conflict("session", key))?;
        let version = kept.versions.next();
        let state = Versioned { value: state, version };
        kept.states.insert(key.to_owned(), State { state, expires });
        Ok(version)
    }

    async fn remove(&self, key: &str) -> Result<()> {
        lock(&self.0).states.remove(key);
        Ok(())
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64> {
        let mut kept = lock(&self.0);
        let before = kept.states.len();
        kept.states.retain(|_, state| now < state.expires);
        Ok((before - kept.states.len()) as u64)
    }
}

impl fmt::Debug for MemorySessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sessions = lock(&self.0).states.len();
        f.debug_struct("MemorySessions")
            .field("sessions", &sessions)
            .finish_non_exhaustive()
    }
}
