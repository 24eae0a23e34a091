//! A store of one-time records in memory.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Mutex,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::lock;
use crate::{Error, OneTimeStore, Result, Secret, check_one_time};

/// The most records.
const MAX_RECORDS: usize = 100_000;

/// A [`OneTimeStore`] in memory, of at most 100,000 records. Expired ones take memory until
/// [`sweep`](OneTimeStore::sweep), or until it is full.
#[derive(Default)]
pub struct MemoryOneTime(Mutex<HashMap<(String, String), Kept>>);

struct Kept {
    payload: Secret,
    expires: Timestamp,
}

impl MemoryOneTime {
    /// Creates an empty store.
    ///
    /// ```
    /// let store = portolan_core::memory::MemoryOneTime::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl OneTimeStore for MemoryOneTime {
    async fn put(&self, purpose: &str, id: &str, payload: Secret, expires: Timestamp, now: Timestamp) -> Result<()> {
        check_one_time(purpose, id, &payload, expires, now)?;
        let mut records = lock(&self.0);
        if records.len() >= MAX_RECORDS {
            records.retain(|_, kept| now < kept.expires);
        }
        if records.len() >= MAX_RECORDS {
            return Err(Error::Exhausted {
                what: "one-time records",
                limit: MAX_RECORDS,
            });
        }
        let kept = Kept { payload, expires };
        match records.entry((purpose.to_owned(), id.to_owned())) {
            Entry::Occupied(there) if now < there.get().expires => {
                return Err(Error::conflict("one-time record", purpose));
            }
            Entry::Occupied(mut expired) => {
                expired.insert(kept);
            }
            Entry::Vacant(free) => {
                free.insert(kept);
            }
        }
        Ok(())
    }

    async fn take(&self, purpose: &str, id: &str, now: Timestamp) -> Result<Option<Secret>> {
        let taken = lock(&self.0).remove(&(purpose.to_owned(), id.to_owned()));
        Ok(taken.filter(|kept| now < kept.expires).map(|kept| kept.payload))
    }

    async fn sweep(&self, now: Timestamp) -> Result<u64> {
        let mut records = lock(&self.0);
        let before = records.len();
        records.retain(|_, kept| now < kept.expires);
        Ok((before - records.len()) as u64)
    }
}

impl fmt::Debug for MemoryOneTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = lock(&self.0).len();
        f.debug_struct("MemoryOneTime")
            .field("records", &records)
            .finish_non_exhaustive()
    }
}
