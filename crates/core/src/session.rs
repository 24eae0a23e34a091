//! The state of legacy clients' sessions that all replicas share.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{Precondition, Result, Version, Versioned};

/// Stores small states of sessions under text keys, each with an expiry: that a session has ended, its subscriptions.
///
/// Times are passed in, so that a store has no clock.
///
/// # Contract
///
/// - `get` after a `put` that returned gives that state or a later one; after `expires` it gives `None`.
/// - `put` checks its precondition and writes in one step, as [`Registry::put`](crate::Registry::put) does. An expired
///   state counts as absent.
/// - `remove` of an absent state succeeds.
/// - `sweep` removes the states that have expired at `now`, returns their number, and touches no other.
///
/// ```
/// use jiff::ToSpan;
/// use portolan_core::{Clock, Precondition, SessionStore, SystemClock, memory::MemorySessions};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (sessions, now) = (MemorySessions::new(), SystemClock.now());
/// let expires = now + 1.hour();
/// sessions.put("s1", "ended".into(), expires, now, Precondition::Absent).await?;
/// assert!(sessions.get("s1", now).await?.is_some());
/// assert!(sessions.get("s1", expires).await?.is_none());
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a state");
/// ```
#[async_trait]
pub trait SessionStore: Debug + Send + Sync {
    /// Returns the state under `key`, unless it has expired at `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Versioned<Bytes>>>;

    /// Writes a state that is valid until `expires`, and returns its new version.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`](crate::Error::Conflict) if the precondition does not hold.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn put(
        &self,
        key: &str,
        state: Bytes,
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Version>;

    /// Removes the state under `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes the states that have expired at `now` and returns their number.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn sweep(&self, now: Timestamp) -> Result<u64>;
}
