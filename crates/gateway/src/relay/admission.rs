//! Admission: how many calls run at once. A limit per caller or per tool belongs here.

use portolan_core::{Error, Failure, FailureKind, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::Relay;
use crate::routing::RequestContext;

impl Relay {
    /// Returns whether no call is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        let limit = self.config.limits.calls.min(Semaphore::MAX_PERMITS);
        self.calls.available_permits() >= limit
    }

    /// Refuses calls from now on: the gateway is shutting down.
    pub(crate) fn refuse_calls(&self) {
        self.calls.close();
    }

    /// Admits a call, until the permit is dropped.
    pub(super) fn admit(&self, context: &RequestContext) -> Result<OwnedSemaphorePermit> {
        self.calls.clone().try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => Error::Exhausted {
                what: "calls",
                limit: self.config.limits.calls,
            },
            TryAcquireError::Closed => Error::NotReady {
                what: "gateway",
                name: context.gateway.spec.name.to_string(),
                failure: Failure::new(FailureKind::Stopped, "it is shutting down").remedy("call again in a while"),
            },
        })
    }
}
