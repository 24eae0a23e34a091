//! Who a server speaks with when it names no call.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::Instant;

use super::{Pending, State};
use crate::ProcessLimits;

/// Calls that the server was told to cancel and may go on with for a while.
///
/// What it asks then is still asked for the caller who has gone, and must not reach another one.
#[derive(Default)]
pub(super) struct CancelledCalls {
    calls: VecDeque<CancelledCall>,
    /// Until then, there are more of them than are remembered one by one.
    crowded: Option<Instant>,
}

struct CancelledCall {
    call: u64,
    requester_key: Option<Arc<str>>,
    until: Instant,
}

impl CancelledCalls {
    pub(super) fn begin(&mut self, call: u64, pending: &Pending, limits: &ProcessLimits) {
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
            self.crowded = self.calls.pop_front().map(|oldest| oldest.until);
        }
    }

    /// The server answered the call all the same: it is done with it.
    pub(super) fn ended(&mut self, call: u64) {
        self.calls.retain(|faded| faded.call != call);
    }

    /// Whether the server can only speak for `requester_key`, as far as these calls go.
    fn are_all_of(&self, requester_key: &str, now: Instant) -> bool {
        let mut there = self.calls.iter().filter(|faded| faded.until > now);
        self.crowded.is_none_or(|until| until <= now)
            && there.all(|faded| faded.requester_key.as_deref() == Some(requester_key))
    }

    /// They all last equally long, so the oldest go first.
    fn forget(&mut self, now: Instant) {
        while self.calls.front().is_some_and(|oldest| oldest.until <= now) {
            self.calls.pop_front();
        }
    }
}

impl State {
    /// The latest call, if every call under way has the same respondent.
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
