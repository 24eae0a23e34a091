//! The calls of a session that are in flight.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use portolan_client::Cancellation;
use portolan_core::{Error, Result};
use portolan_wire::id::RequestId;

use super::Session;

/// The maximum number of calls of one session that a notification can cancel.
const MAX_INFLIGHT: usize = 1024;

/// An in-flight call of a legacy client; deregisters it on drop.
#[derive(Debug)]
pub(crate) struct CallHandle {
    session: Arc<Session>,
    id: RequestId,
    /// Cancelled by the client's `notifications/cancelled`.
    pub(crate) cancelled: Cancellation,
}

impl Session {
    /// Registers a call that a notification may cancel, until the handle is dropped.
    pub(crate) fn begin(self: &Arc<Self>, id: &RequestId) -> Result<CallHandle> {
        let cancelled = Cancellation::default();
        let mut calls = self.calls();
        if calls.len() >= MAX_INFLIGHT {
            return Err(Error::Exhausted {
                what: "calls of one session",
                limit: MAX_INFLIGHT,
            });
        }
        let id = id.detached();
        match calls.entry(id.clone()) {
            Entry::Occupied(_) => return Err(Error::invalid("id", "is already the id of a call in flight")),
            Entry::Vacant(free) => free.insert(cancelled.clone()),
        };
        drop(calls);
        Ok(CallHandle {
            session: self.clone(),
            id,
            cancelled,
        })
    }

    /// Cancels a call in flight; returns whether there was one.
    pub(crate) fn cancel(&self, id: &RequestId) -> bool {
        let cancelled = self.calls().get(id).cloned();
        if let Some(cancelled) = &cancelled {
            cancelled.cancel();
        }
        cancelled.is_some()
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.calls().is_empty() && !self.subscriber().is_some_and(|subscriber| subscriber.has_reader())
    }

    /// Waits up to one second until no call is in flight: cancelled calls notify their servers first.
    pub(crate) async fn quiet(&self) {
        for _ in 0..100 {
            if self.is_quiet() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(super) fn calls(&self) -> MutexGuard<'_, HashMap<RequestId, Cancellation>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CallHandle {
    fn drop(&mut self) {
        self.session.calls().remove(&self.id);
    }
}
