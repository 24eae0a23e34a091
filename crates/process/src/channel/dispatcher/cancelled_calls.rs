//! Finds the caller that a server request belongs to: legacy requests name no call.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{Pending, State};
use crate::ProcessLimits;

/// Calls that the server was told to cancel and may work on for a while.
///
/// A request that it sends then still belongs to the caller that has gone, and must not reach another one.
#[derive(Default)]
pub(super) struct CancelledCalls {
    calls: VecDeque<CancelledCall>,
    /// Until then, more calls are cancelled than are remembered one by one.
    overflowed_until: Option<Instant>,
}

struct CancelledCall {
    call: u64,
    requester_key: Option<Arc<str>>,
    until: Instant,
}

impl CancelledCalls {
    pub(super) fn add(&mut self, call: u64, pending: &Pending, limits: &ProcessLimits) {
        if pending.listens {
            return;
        }
        self.forget(Instant::now());
        self.calls.push_back(CancelledCall {
            call,
            requester_key: pending.requester_key.clone(),
            until: Instant::now() + limits.cancel_grace,
        });
        if self.calls.len() > limits.calls.max(1) {
            self.overflowed_until = self.calls.pop_front().map(|oldest| oldest.until);
        }
    }

    /// Forgets a call that the server answered all the same.
    pub(super) fn ended(&mut self, call: u64) {
        self.calls.retain(|cancelled| cancelled.call != call);
    }

    /// Returns true if none of these calls has another requester.
    fn are_all_of(&self, requester_key: &str, now: Instant) -> bool {
        let mut remaining = self.calls.iter().filter(|cancelled| cancelled.until > now);
        self.overflowed_until.is_none_or(|until| until <= now)
            && remaining.all(|cancelled| cancelled.requester_key.as_deref() == Some(requester_key))
    }

    /// Forgets calls whose time is over. All last equally long, so the oldest go first.
    fn forget(&mut self, now: Instant) {
        while self.calls.front().is_some_and(|oldest| oldest.until <= now) {
            self.calls.pop_front();
        }
    }
}

impl State {
    /// Returns the latest call, if all calls under way have the same requester.
    pub(super) fn sole_requester(&self) -> Option<(u64, &Pending)> {
        let mut latest: Option<(u64, &Pending)> = None;
        for (&id, pending) in self.pending.iter().filter(|(_, pending)| !pending.listens) {
            match latest {
                _ if pending.requester_key.is_none() => return None,
                Some((_, before)) if before.requester_key != pending.requester_key => return None,
                Some((later, _)) if later > id => {}
                _ => latest = Some((id, pending)),
            }
        }
        let requester_key = latest?.1.requester_key.as_deref()?;
        latest.filter(|_| self.cancelled_calls.are_all_of(requester_key, Instant::now()))
    }
}
