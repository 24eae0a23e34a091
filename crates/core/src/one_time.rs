//! Records that can be taken once: OAuth states, authorization codes, replay ids, consents.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::{Result, Secret};

/// Stores records that one taker gets, once, before they expire.
///
/// A record has a purpose, such as `oauth-state`, and an id that is unguessable or unique by itself: a random state, an
/// authorization code, the `jti` of a token. The same id under two purposes is two records. Times are passed in, so that
/// a store has no clock.
///
/// # Contract
///
/// - `put` is a conflict while an unexpired record with this purpose and id is there, and changes nothing then. Of many
///   that put the same id at once, one succeeds: this is the check against replay. An expired record counts as absent.
/// - `take` gives a record to exactly one of its takers, and removes it with that. Afterwards, and from `expires` on, it is
///   `None`. A `take` that fails, or is dropped, leaves the record or has taken it; nobody gets it twice.
/// - A record that was taken or has expired can be put again. So an id that must not be accepted twice is put and never
///   taken.
/// - `sweep` removes the records that have expired at `now`, returns their number, and touches no other.
/// - A store seals payloads at rest, and no error, log line or `Debug` shows a payload or an id.
///
/// # Bounds
///
/// A purpose has 1 to 64 bytes, an id 1 to 4,096, a payload at most 64 KiB, and `expires` is after `now`; anything else is
/// [`Error::Invalid`](crate::Error::Invalid). How many records there can be is bounded by their expiry and by whoever
/// creates them: limit the rate at which strangers can.
///
/// ```
/// use jiff::ToSpan;
/// use portolan_core::{Clock, OneTimeStore, Secret, SystemClock, memory::MemoryOneTime};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (store, now) = (MemoryOneTime::new(), SystemClock.now());
/// store.put("oauth-state", "u9xk…", Secret::new("{\"verifier\":\"…\"}"), now + 10.minutes(), now).await?;
/// assert!(store.take("oauth-state", "u9xk…", now).await?.is_some());
/// assert!(store.take("oauth-state", "u9xk…", now).await?.is_none());
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("taken once");
/// ```
#[async_trait]
pub trait OneTimeStore: Debug + Send + Sync {
    /// Stores a record that can be taken before `expires`.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`](crate::Error::Conflict) if an unexpired record is there; it names the purpose only.
    /// - [`Error::Invalid`](crate::Error::Invalid) beyond the bounds.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store. The
    ///   record may be there.
    async fn put(&self, purpose: &str, id: &str, payload: Secret, expires: Timestamp, now: Timestamp) -> Result<()>;

    /// Takes a record, unless it has expired at `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store. The
    /// record may be gone.
    async fn take(&self, purpose: &str, id: &str, now: Timestamp) -> Result<Option<Secret>>;

    /// Removes the records that have expired at `now` and returns their number.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn sweep(&self, now: Timestamp) -> Result<u64>;
}

/// Checks the bounds of a record, for implementations of [`OneTimeStore::put`].
///
/// ```
/// use portolan_core::{Clock, Secret, SystemClock, check_one_time};
///
/// let now = SystemClock.now();
/// assert!(check_one_time("oauth-state", "", &Secret::new("{}"), now, now).is_err());
/// ```
///
/// # Errors
///
/// [`Error::Invalid`](crate::Error::Invalid) beyond the bounds of the contract. It shows no id and no payload.
pub fn check_one_time(purpose: &str, id: &str, payload: &Secret, expires: Timestamp, now: Timestamp) -> Result<()> {
    let within = |field: &str, size: usize, least: usize, most: usize| {
        if (least..=most).contains(&size) {
            return Ok(());
        }
        let problem = format!("has {size} bytes; use {least} to {most}");
        Err(crate::Error::invalid(field, problem))
    };
    within("purpose", purpose.len(), 1, 64)?;
    within("one-time id", id.len(), 1, 4_096)?;
    within("one-time payload", payload.reveal().len(), 0, 64 << 10)?;
    if expires <= now {
        let problem = "has passed already, so nothing would be kept; use a later time";
        return Err(crate::Error::invalid("expiry", problem));
    }
    Ok(())
}
