//! What is known of an install's tokens, in memory.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use portolan_core::{Error, UpstreamCredential, Version, Versioned};
use tokio::sync::Mutex as AsyncMutex;

use super::token_set::TokenSet;

/// The cache of one install, and who is at work on it.
#[derive(Debug, Default)]
pub(super) struct Slot {
    pub(super) known: Mutex<Option<(Instant, Arc<Known>)>>,
    /// Counts the times that it was forgotten: what was read before is not cached.
    pub(super) forgotten: AtomicU64,
    /// `true` while the store is read in the background.
    pub(super) reading: AtomicBool,
    pub(super) renewing: AsyncMutex<()>,
    /// `true` while it is refreshed ahead of time.
    pub(super) ahead: AtomicBool,
    pub(super) failure: Mutex<Option<(Instant, Version, Error)>>,
    pub(super) ahead_failed: Mutex<Option<Instant>>,
}

/// The tokens of an install, as they were read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) set: TokenSet,
    /// The last credential made of it, with the fields' headers that it was made with.
    pub(super) made: Mutex<Option<(Arc<UpstreamCredential>, Arc<UpstreamCredential>)>>,
}

impl Known {
    pub(super) fn new(found: Versioned<TokenSet>) -> Arc<Self> {
        Arc::new(Self {
            version: found.version,
            set: found.value,
            made: Mutex::default(),
        })
    }
}

/// Locks, also after a panic of another holder: what is kept is replaced as a whole.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
