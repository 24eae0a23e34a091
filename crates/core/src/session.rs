//! Sessions of legacy clients: the part that changes, or must be known to every replica.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use crate::{Precondition, Result, Version, Versioned};

/// Keeps what sessions need beyond their sealed ids: that one has ended, what it has subscribed to.
///
/// # Contract
///
/// - `get` after a `put` that returned gives that state or a later one; after `expires` it gives `None`.
/// - `put` checks its precondition and writes in one step, as [`Registry::put`](crate::Registry::put) does. A state that
///   has expired counts as absent.
/// - `remove` of what is not there succeeds.
/// - `sweep` removes what has expired at `now` and says how much; nothing else is touched.
#[async_trait]
pub trait SessionStore: Debug + Send + Sync {
    /// The state under `key`.
    async fn get(&self, key: &str, now: Timestamp) -> Result<Option<Versioned<Bytes>>>;

    /// Writes a state that is good until `expires`.
    async fn put(
        &self,
        key: &str,
        state: Bytes,
        expires: Timestamp,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Version>;

    /// Removes the state under `key`.
    async fn remove(&self, key: &str) -> Result<()>;

    /// Removes states that have expired.
    async fn sweep(&self, now: Timestamp) -> Result<u64>;
}
