//! Routes messages between callers and one run of a server: open calls, open server requests, and lines to write.

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
use super::progress;
use crate::ProcessLimits;

/// The state that one run of a server shares with its callers, under one lock that is never held for long.
pub(crate) struct RpcDispatcher {
    server: Arc<str>,
    limits: ProcessLimits,
    next_id: AtomicU64,
    state: Mutex<State>,
    /// Notified when there is something to write.
    outgoing: Notify,
    /// Notified when a call has an earlier deadline than the one that the timer waits for.
    earlier: Notify,
    /// Notified when no call is under way any more.
    idle: Notify,
}

#[derive(Default)]
struct State {
    pending: HashMap<u64, Pending>,
    cancelled_calls: CancelledCalls,
    server_requests: OpenServerRequests,
    write_queue: WriteQueue,
    /// The deadline that the timer waits for.
    next_deadline: Option<Instant>,
    /// Set when the run has ended: no call is taken any more.
    closed: Option<Failure>,
}

/// A call that waits for its response.
struct Pending {
    events: mpsc::Sender<ExchangeEvent>,
    method: Box<str>,
    /// Names the caller that answers server requests ([`ChannelRequest::requester_key`]).
    requester_key: Option<Arc<str>>,
    /// It is a `subscriptions/listen`: it has no end of its own, and server requests never belong to it.
    listens: bool,
    /// The caller's own progress token, as raw JSON.
    token: Option<Bytes>,
    deadline: Instant,
    timeout: Duration,
    /// Set if the server is told when the caller has gone. MCP forbids that for `initialize`.
    cancels: bool,
}

/// Why a call was not sent.
#[derive(Debug)]
pub enum CallError {
    /// The run has ended.
    Closed(Failure),
    /// A limit was reached.
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

    /// Sends a call that fails at `deadline`.
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
        let earlier = state.next_deadline.is_none_or(|next| deadline < next);
        if earlier {
            state.next_deadline = Some(deadline);
        }
        drop(state);
        self.outgoing.notify_one();
        if earlier {
            self.earlier.notify_one();
        }
        Ok(())
    }

    /// Sends a line without a caller. It is dropped when the queue is half full: calls come first.
    pub(crate) fn send_line(&self, line: Bytes) {
        let mut state = self.lock();
        if state.closed.is_none() && state.write_queue.push(None, line.into(), self.limits.queue_bytes / 2) {
            drop(state);
            self.outgoing.notify_one();
        }
    }

    /// Delivers a response to its caller. One without a caller is dropped.
    pub(crate) fn deliver_response(&self, id: u64, response: Result<RpcResponse>) {
        let Some(pending) = self.take(id) else { return };
        pending.end(response);
    }

    /// Fails a call whose response cannot be used.
    pub(crate) fn fail(&self, id: u64, failure: Failure) {
        self.deliver_response(id, Err(self.not_ready(failure)));
    }

    /// Delivers a progress notification to the caller whose token it carries.
    pub(crate) fn deliver_progress(&self, notification: ChannelNotification) {
        let params = notification.params.as_ref().and_then(progress::call_of_progress);
        let Some((id, params)) = params else { return };
        let state = self.lock();
        let Some(pending) = state.pending.get(&id) else { return };
        let Some(theirs) = pending.token.clone() else { return };
        let events = pending.events.clone();
        drop(state);
        let params = progress::restore(params, theirs);
        notify(&events, ChannelNotification::new(notification.method, Some(params)));
    }

    /// Delivers a notification that names no call to the latest call, if all calls under way have the same requester.
    /// Returns it otherwise.
    pub(crate) fn deliver_to_sole_requester(&self, notification: ChannelNotification) -> Option<ChannelNotification> {
        let state = self.lock();
        match state.sole_requester() {
            Some((_, pending)) => {
                notify(&pending.events, notification);
                None
            }
            None => Some(notification),
        }
    }

    /// Delivers a notification to the `subscriptions/listen` call that it names. Returns false if there is none.
    pub(crate) fn deliver_to_subscription(&self, id: u64, notification: ChannelNotification) -> bool {
        let events = self.lock().pending.get(&id).map(|pending| pending.events.clone());
        events.map(|events| notify(&events, notification)).is_some()
    }

    /// Returns true if this is a `subscriptions/listen` call under way.
    pub(crate) fn is_subscription(&self, id: u64) -> bool {
        self.lock().pending.get(&id).is_some_and(|pending| pending.listens)
    }

    /// Fails calls past their deadlines. Returns the next deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let mut state = self.lock();
        let over = state.pending.extract_if(|_, pending| pending.deadline <= now);
        expired.extend(over);
        for (id, pending) in &expired {
            state.cancel(*id, pending, "timed out", &self.limits);
        }
        state.next_deadline = state.pending.values().map(|pending| pending.deadline).min();
        let (next, idle) = (state.next_deadline, state.pending.is_empty());
        drop(state);
        if !expired.is_empty() {
            self.outgoing.notify_one();
            self.notify_idle(idle);
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

    /// Waits until a call has an earlier deadline than [`expire`](Self::expire) returned.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    /// Waits for lines to write and moves them into `batch`, whose earlier content counts as written.
    pub(crate) async fn batch(&self, batch: &mut WriteBatch) {
        loop {
            if self.lock().write_queue.take(batch) {
                return;
            }
            self.outgoing.notified().await;
        }
    }

    /// Returns true if no call is under way.
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

    /// Ends the run: fails every call, and each later one.
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
        self.notify_idle(true);
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
        let refused = state.refuse_all(id);
        let idle = state.pending.is_empty();
        drop(state);
        if refused {
            self.outgoing.notify_one();
        }
        self.notify_idle(idle);
        Some(pending)
    }

    fn notify_idle(&self, idle: bool) {
        if idle {
            self.idle.notify_waiters();
        }
    }

    /// Cancels a call whose caller has gone.
    fn abandon(&self, id: u64) {
        let mut state = self.lock();
        let Some(pending) = state.pending.remove(&id) else {
            return;
        };
        state.cancel(id, &pending, "the caller has gone", &self.limits);
        let idle = state.pending.is_empty();
        drop(state);
        self.outgoing.notify_one();
        self.notify_idle(idle);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes the call from the queue if it was not written yet; else sends a cancellation to the server.
    fn cancel(&mut self, id: u64, pending: &Pending, reason: &str, limits: &ProcessLimits) {
        self.refuse_all(id);
        if self.closed.is_none() && pending.cancels && !self.write_queue.retract(id) {
            // Without room for it, the server finishes the call in vain, which is harmless.
            self.write_queue.push(None, cancel_line(id, reason), limits.queue_bytes);
            self.cancelled_calls.add(id, pending, limits);
        }
    }
}

impl Pending {
    /// The channel always has room for the response: [`notify`] leaves it.
    fn end(self, response: Result<RpcResponse>) {
        let _ = self.events.try_send(ExchangeEvent::Response(response));
    }
}

/// Sends a notification to a caller if that leaves room for the response.
fn notify(events: &mpsc::Sender<ExchangeEvent>, notification: ChannelNotification) {
    send(events, ExchangeEvent::Notification(notification));
}

/// Sends an event to a caller if that leaves room for the response. Returns whether it was sent.
fn send(events: &mpsc::Sender<ExchangeEvent>, event: ExchangeEvent) -> bool {
    events.capacity() > 1 && events.try_send(event).is_ok()
}

fn exhausted(what: &'static str, limit: usize) -> CallError {
    CallError::Error(Error::Exhausted { what, limit })
}

impl fmt::Debug for RpcDispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RpcDispatcher")
            .field("server", &self.server)
            .field("pending", &self.lock().pending.len())
            .finish_non_exhaustive()
    }
}

/// Returns the failure of calls to a server that was stopped on purpose.
pub(crate) fn stopped() -> Failure {
    Failure::new(FailureKind::Stopped, "it was stopped")
}

#[cfg(test)]
mod tests;
