//! The calls of one run that wait for their answers, and the lines that wait to be written.

mod cancelled_calls;
mod handle;
mod server_requests;
mod write_queue;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use portolan_core::{
    ChannelNotification, ChannelRequest, Error, ExchangeEvent, Failure, FailureKind, Result, RpcResponse,
};
use portolan_wire::method::Method;
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use self::{
    cancelled_calls::CancelledCalls,
    server_requests::OpenServerRequests,
    write_queue::{WriteQueue, call_line, cancel_line},
};
pub(crate) use self::{
    handle::{CallRef, CancelOnDrop, DispatchedCall},
    write_queue::WriteBatch,
};
use crate::{ProcessLimits, progress};

/// What one run of a server and its callers share: under one lock, which is never held for long.
pub(crate) struct RpcDispatcher {
    server: Arc<str>,
    limits: ProcessLimits,
    next_id: AtomicU64,
    state: Mutex<State>,
    /// There is something to write.
    outgoing: Notify,
    /// A deadline came before the one that the timer waits for.
    earlier: Notify,
    /// No call is under way any more.
    idle: Notify,
}

#[derive(Default)]
struct State {
    pending: HashMap<u64, Pending>,
    cancelled_calls: CancelledCalls,
    server_requests: OpenServerRequests,
    write_queue: WriteQueue,
    /// When the timer looks again.
    armed: Option<Instant>,
    /// The run has ended: nothing is taken any more.
    closed: Option<Failure>,
}

/// A call that waits for its answer.
struct Pending {
    events: mpsc::Sender<ExchangeEvent>,
    method: Box<str>,
    /// Who can be asked.
    requester_key: Option<Arc<str>>,
    /// It has no end of its own, and nothing but what it listens for belongs to it.
    listens: bool,
    /// The caller's own progress token, raw.
    token: Option<Bytes>,
    deadline: Instant,
    timeout: Duration,
    /// Whether the server is told when nobody waits any more. It must not be for `initialize`.
    cancels: bool,
}

/// Why a call was not taken.
#[derive(Debug)]
pub enum CallError {
    /// The run has ended; nothing was sent.
    Closed(Failure),
    /// Nothing was sent either.
    Error(Error),
}

impl RpcDispatcher {
    pub(crate) fn new(server: Arc<str>, limits: ProcessLimits, first_id: u64) -> Arc<Self> {
        Arc::new(Self {
            server,
            limits,
            next_id: AtomicU64::new(first_id),
            state: Mutex::default(),
            outgoing: Notify::new(),
            earlier: Notify::new(),
            idle: Notify::new(),
        })
    }

    pub(crate) fn limits(&self) -> &ProcessLimits {
        &self.limits
    }

    /// Sends a call, which fails at `deadline`.
    pub(crate) fn call(
        self: &Arc<Self>,
        request: &ChannelRequest,
        deadline: Instant,
    ) -> Result<DispatchedCall, CallError> {
        self.send(request, deadline, true)
    }

    /// Sends a call of the handshake, which is never cancelled.
    pub(crate) fn handshake(
        self: &Arc<Self>,
        request: &ChannelRequest,
        at: Instant,
    ) -> Result<DispatchedCall, CallError> {
        self.send(request, at, false)
    }

    fn send(
        self: &Arc<Self>,
        request: &ChannelRequest,
        deadline: Instant,
        cancels: bool,
    ) -> Result<DispatchedCall, CallError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let replaced = request.params.as_ref().and_then(|params| progress::replace(params, id));
        let (params, token) = match replaced {
            Some((params, token)) => (Some(params), Some(token)),
            None => (request.params.clone(), None),
        };
        let line = call_line(id, &request.method, params.as_ref());
        let (events, receiver) = mpsc::channel(self.limits.call_events.max(2));
        let pending = Pending {
            events,
            method: request.method.clone(),
            requester_key: request.requester_key.clone(),
            listens: *request.method == *Method::Listen.as_str(),
            token,
            deadline,
            timeout: request.timeout,
            cancels,
        };
        self.admit(id, pending, line)?;
        Ok(DispatchedCall {
            events: receiver,
            handle: CallRef::new(self.clone(), id),
        })
    }

    fn admit(&self, id: u64, pending: Pending, line: write_queue::OutgoingLine) -> Result<(), CallError> {
        let deadline = pending.deadline;
        let mut state = self.lock();
        if let Some(failure) = &state.closed {
            return Err(CallError::Closed(failure.clone()));
        }
        if state.pending.len() >= self.limits.calls {
            return Err(exhausted("calls under way to one server", self.limits.calls));
        }
        if !state.write_queue.push(Some(id), line, self.limits.queue_bytes) {
            return Err(exhausted("bytes waiting for one server", self.limits.queue_bytes));
        }
        state.pending.insert(id, pending);
        let earlier = state.armed.is_none_or(|armed| deadline < armed);
        if earlier {
            state.armed = Some(deadline);
        }
        drop(state);
        self.outgoing.notify_one();
        if earlier {
            self.earlier.notify_one();
        }
        Ok(())
    }

    /// Sends a line that nobody waits for. It is dropped when half the room is taken: callers come first.
    pub(crate) fn tell(&self, line: Bytes) {
        let mut state = self.lock();
        if state.closed.is_none() && state.write_queue.push(None, line.into(), self.limits.queue_bytes / 2) {
            drop(state);
            self.outgoing.notify_one();
        }
    }

    /// Brings an answer to the caller who asked. One that nobody waits for is dropped.
    pub(crate) fn answer(&self, id: u64, answer: Result<RpcResponse>) {
        let Some(pending) = self.take(id) else { return };
        pending.end(answer);
    }

    /// Fails a call whose answer cannot be used.
    pub(crate) fn fail(&self, id: u64, failure: Failure) {
        self.answer(id, Err(self.not_ready(failure)));
    }

    /// Brings a progress notification to the caller whose token it carries.
    pub(crate) fn progress(&self, notification: ChannelNotification) {
        let params = notification.params.as_ref().and_then(progress::call_of_progress);
        let Some((id, params)) = params else { return };
        let state = self.lock();
        let Some(pending) = state.pending.get(&id) else { return };
        let Some(theirs) = pending.token.clone() else { return };
        let events = pending.events.clone();
        drop(state);
        let params = progress::restore(params, theirs);
        tell(&events, ChannelNotification::new(notification.method, Some(params)));
    }

    /// Brings a notification that names no call to the latest call, if all calls under way are of one conversation; gives
    /// it back otherwise.
    pub(crate) fn aside(&self, notification: ChannelNotification) -> Option<ChannelNotification> {
        let state = self.lock();
        match state.sole_requester() {
            Some((_, pending)) => {
                tell(&pending.events, notification);
                None
            }
            None => Some(notification),
        }
    }

    /// Brings a notification to the listen call that it belongs to. Whether there is one.
    pub(crate) fn subscribed(&self, id: u64, notification: ChannelNotification) -> bool {
        let events = self.lock().pending.get(&id).map(|pending| pending.events.clone());
        events.map(|events| tell(&events, notification)).is_some()
    }

    /// Whether this is a listen call under way.
    pub(crate) fn listens(&self, id: u64) -> bool {
        self.lock().pending.get(&id).is_some_and(|pending| pending.listens)
    }

    /// Fails what is over its deadline and tells when to look again.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let mut state = self.lock();
        let over = state.pending.extract_if(|_, pending| pending.deadline <= now);
        expired.extend(over);
        for (id, pending) in &expired {
            state.cancel(*id, pending, "timed out", &self.limits);
        }
        state.armed = state.pending.values().map(|pending| pending.deadline).min();
        let (next, idle) = (state.armed, state.pending.is_empty());
        drop(state);
        if !expired.is_empty() {
            self.outgoing.notify_one();
            self.tell_idle(idle);
        }
        for (_, pending) in expired {
            let error = Error::Timeout {
                action: format!("the answer of server {:?} to {}", self.server, pending.method),
                after: pending.timeout,
            };
            pending.end(Err(error));
        }
        next
    }

    /// Waits until [`Self::expire`] has to look earlier than it said.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// What there is to write, waiting for it; what was taken before is then counted as written.
    pub(crate) async fn batch(&self, batch: &mut WriteBatch) {
        loop {
            if self.lock().write_queue.take(batch) {
                return;
            }
            self.outgoing.notified().await;
        }
    }

    /// Whether no call is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().pending.is_empty()
    }

    /// Waits until no call is under way.
    pub(crate) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.lock().pending.is_empty() {
                return;
            }
            idle.await;
        }
    }

    /// The run has ended: every call fails now, and no later one is taken.
    pub(crate) fn close(&self, failure: &Failure) {
        let pending = {
            let mut state = self.lock();
            if state.closed.is_none() {
                state.closed = Some(failure.clone());
            }
            state.write_queue = WriteQueue::default();
            state.server_requests = OpenServerRequests::default();
            std::mem::take(&mut state.pending)
        };
        for pending in pending.into_values() {
            pending.end(Err(self.not_ready(failure.clone())));
        }
        self.tell_idle(true);
    }

    fn not_ready(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.to_string(),
            failure,
        }
    }

    fn take(&self, id: u64) -> Option<Pending> {
        let mut state = self.lock();
        let Some(pending) = state.pending.remove(&id) else {
            state.cancelled_calls.ended(id);
            return None;
        };
        let server_requests = state.end_questions(id);
        let idle = state.pending.is_empty();
        drop(state);
        if server_requests {
            self.outgoing.notify_one();
        }
        self.tell_idle(idle);
        Some(pending)
    }

    fn tell_idle(&self, idle: bool) {
        if idle {
            self.idle.notify_waiters();
        }
    }

    /// Nobody waits for this answer any more.
    fn abandon(&self, id: u64) {
        let mut state = self.lock();
        let Some(pending) = state.pending.remove(&id) else {
            return;
        };
        state.cancel(id, &pending, "the caller has gone", &self.limits);
        let idle = state.pending.is_empty();
        drop(state);
        self.outgoing.notify_one();
        self.tell_idle(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the call back if it was not written yet; else tells the server that it is off.
    fn cancel(&mut self, id: u64, pending: &Pending, reason: &str, limits: &ProcessLimits) {
        self.end_questions(id);
        if self.closed.is_none() && pending.cancels && !self.write_queue.retract(id) {
            // Without room for it, the server finishes a call for nobody: no harm done.
            self.write_queue.push(None, cancel_line(id, reason), limits.queue_bytes);
            self.cancelled_calls.begin(id, pending, limits);
        }
    }
}

impl Pending {
    /// There is always room for the answer: [`tell`] leaves it.
    fn end(self, answer: Result<RpcResponse>) {
        let _ = self.events.try_send(ExchangeEvent::Response(answer));
    }
}

/// Sends a notification to a caller if that leaves room for the answer.
fn tell(events: &mpsc::Sender<ExchangeEvent>, notification: ChannelNotification) {
    send(events, ExchangeEvent::Notification(notification));
}

/// Sends an event to a caller if that leaves room for the answer. Whether it did.
fn send(events: &mpsc::Sender<ExchangeEvent>, event: ExchangeEvent) -> bool {
    events.capacity() > 1 && events.try_send(event).is_ok()
}

fn exhausted(what: &'static str, limit: usize) -> CallError {
    CallError::Error(Error::Exhausted { what, limit })
}

impl fmt::Debug for RpcDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("server", &self.server)
            .field("pending", &self.lock().pending.len())
            .finish_non_exhaustive()
    }
}

/// The failure of what was stopped on purpose.
pub(crate) fn stopped() -> Failure {
    Failure::new(FailureKind::Stopped, "it was stopped")
}

#[cfg(test)]
mod tests;
