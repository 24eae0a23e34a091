//! The sessions of legacy clients.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use portolan_core::{RpcResponse, ServerRequestPolicy};
use portolan_wire::{id::RequestId, method::Method};
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::channel::CallRef;

/// The most sessions at a time. A new one ends the one that has been idle for longest.
const MAX_SESSIONS: usize = 4096;
/// A session that was not used for so long is ended.
const MAX_IDLE: Duration = Duration::from_secs(30 * 60);
/// The most resources that one session may subscribe to.
const MAX_SUBSCRIPTIONS: usize = 1024;

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    open: Mutex<HashMap<Arc<str>, Arc<Session>>>,
}

/// The session of one client.
pub(super) struct Session {
    pub(super) id: Arc<str>,
    pub(super) version: String,
    /// The server requests that it accepts.
    server_requests: ServerRequestPolicy,
    /// Cancelled when it ends.
    pub(super) ended: CancellationToken,
    next_request_id: AtomicU64,
    state: Mutex<State>,
}

struct State {
    used: Instant,
    calls: HashMap<RequestId, CallRef>,
    server_requests: HashMap<u64, OpenRequest>,
    subscriptions: HashSet<String>,
    /// Ends the stream of notifications outside of calls.
    stream: Option<CancellationToken>,
}

/// A server request that was sent to the client.
struct OpenRequest {
    /// The call that it belongs to.
    call: RequestId,
    handle: CallRef,
    key: u64,
}

/// A call in its session, until it is dropped.
pub(super) struct CallSlot {
    session: Arc<Session>,
    call: RequestId,
}

impl Sessions {
    /// Opens a session. `None` if there are too many and all are in use.
    pub(super) fn open(&self, version: String, server_requests: ServerRequestPolicy) -> Option<Arc<Session>> {
        let mut id = [0u8; 24];
        getrandom(&mut id[..], GetRandomFlags::empty()).ok()?;
        let id: Arc<str> = id.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        let session = Arc::new(Session {
            id: id.clone(),
            version,
            server_requests,
            ended: CancellationToken::new(),
            next_request_id: AtomicU64::new(1),
            state: Mutex::new(State {
                used: Instant::now(),
                calls: HashMap::new(),
                server_requests: HashMap::new(),
                subscriptions: HashSet::new(),
                stream: None,
            }),
        });
        let mut open = self.lock();
        if open.len() >= MAX_SESSIONS {
            let idlest = open
                .values()
                .filter_map(|session| Some((session.idle_since()?, session.id.clone())));
            let (_, idlest) = idlest.min()?;
            if let Some(idlest) = open.remove(&idlest) {
                idlest.end();
            }
        }
        open.insert(id, session.clone());
        Some(session)
    }

    /// Returns a session, which counts as used now.
    pub(super) fn find(&self, id: &str) -> Option<Arc<Session>> {
        let session = self.lock().get(id).cloned()?;
        session.lock().used = Instant::now();
        Some(session)
    }

    /// Ends a session. Returns the resources that only it subscribed to.
    pub(super) fn close(&self, id: &str) -> Option<Vec<String>> {
        let session = self.lock().remove(id)?;
        session.end();
        let subscriptions = std::mem::take(&mut session.lock().subscriptions);
        Some(
            subscriptions
                .into_iter()
                .filter(|uri| !self.any_subscribes(uri))
                .collect(),
        )
    }

    /// Ends the sessions that were idle for too long. Returns the resources that only they subscribed to.
    pub(super) fn sweep(&self) -> Vec<String> {
        let now = Instant::now();
        let idle = |session: &Session| {
            session
                .idle_since()
                .is_some_and(|since| now.duration_since(since) >= MAX_IDLE)
        };
        let over: Vec<_> = {
            let open = self.lock();
            open.values()
                .filter(|session| idle(session))
                .map(|session| session.id.clone())
                .collect()
        };
        over.iter().filter_map(|id| self.close(id)).flatten().collect()
    }

    /// Returns true if any session subscribes to `uri`.
    pub(super) fn any_subscribes(&self, uri: &str) -> bool {
        self.lock()
            .values()
            .any(|session| session.lock().subscriptions.contains(uri))
    }

    /// Returns all resources that sessions subscribe to.
    pub(super) fn subscriptions(&self) -> HashSet<String> {
        let open = self.lock();
        let each = open.values().map(|session| session.lock().subscriptions.clone());
        each.flatten().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Adds a call. `None` if the client uses the id for another call under way.
    pub(super) fn slot(self: &Arc<Self>, call: &RequestId, handle: CallRef) -> Option<CallSlot> {
        let mut state = self.lock();
        if state.calls.contains_key(call) {
            return None;
        }
        state.calls.insert(call.clone(), handle);
        drop(state);
        Some(CallSlot {
            session: self.clone(),
            call: call.clone(),
        })
    }

    /// Returns true if a call with this id is under way.
    pub(super) fn is_calling(&self, call: &RequestId) -> bool {
        self.lock().calls.contains_key(call)
    }

    /// Cancels a call.
    pub(super) fn cancel(&self, call: &RequestId) {
        let handle = self.lock().calls.get(call).cloned();
        if let Some(handle) = handle {
            handle.cancel();
        }
    }

    /// Passes a response of the client on to the server. One to an unknown request is ignored.
    pub(super) fn answer(&self, question: &RequestId, answer: RpcResponse) {
        let open = question.as_u64().and_then(|id| self.lock().server_requests.remove(&id));
        if let Some(open) = open {
            open.handle.respond(open.key, answer);
        }
    }

    /// Adds a subscription. Returns false if there are too many.
    pub(super) fn subscribe(&self, uri: String) -> bool {
        let mut state = self.lock();
        let fits = state.subscriptions.len() < MAX_SUBSCRIPTIONS;
        if fits {
            state.subscriptions.insert(uri);
        }
        fits
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.lock().subscriptions.remove(uri);
    }

    /// Returns true if the session subscribes to `uri` or to a resource that it is part of.
    pub(super) fn is_subscribed_to(&self, uri: &str) -> bool {
        self.lock()
            .subscriptions
            .iter()
            .any(|subscribed| is_within(uri, subscribed))
    }

    /// Opens a stream of notifications outside of calls, which replaces an earlier one.
    pub(super) fn stream(&self) -> CancellationToken {
        let token = self.ended.child_token();
        let earlier = self.lock().stream.replace(token.clone());
        if let Some(earlier) = earlier {
            earlier.cancel();
        }
        token
    }

    /// Closes a stream. A later one stays open.
    pub(super) fn end_stream(&self, token: &CancellationToken) {
        token.cancel();
        let mut state = self.lock();
        if state.stream.as_ref().is_some_and(CancellationToken::is_cancelled) {
            state.stream = None;
        }
        state.used = Instant::now();
    }

    fn end(&self) {
        self.ended.cancel();
        let calls = std::mem::take(&mut self.lock().calls);
        calls.into_values().for_each(|handle| handle.cancel());
    }

    /// Returns since when the session is idle; `None` while a call or a stream is open.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.lock();
        (state.calls.is_empty() && state.stream.is_none()).then_some(state.used)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CallSlot {
    pub(super) fn accepts(&self, method: &Method) -> bool {
        let server_requests = self.session.server_requests;
        match method {
            Method::Elicit => server_requests.elicitation,
            Method::CreateMessage => server_requests.sampling,
            Method::RootsList => server_requests.roots,
            _ => false,
        }
    }

    /// Registers a server request. Returns the id for the client.
    pub(super) fn register_request(&self, handle: CallRef, key: u64) -> RequestId {
        let id = self.session.next_request_id.fetch_add(1, Ordering::Relaxed);
        let call = self.call.clone();
        self.session
            .lock()
            .server_requests
            .insert(id, OpenRequest { call, handle, key });
        RequestId::from_u64(id)
    }
}

impl Drop for CallSlot {
    fn drop(&mut self) {
        let mut state = self.session.lock();
        state.calls.remove(&self.call);
        state.server_requests.retain(|_, open| open.call != self.call);
        state.used = Instant::now();
    }
}

/// Returns true if `uri` is `whole` or a part of it.
fn is_within(uri: &str, whole: &str) -> bool {
    match uri.strip_prefix(whole) {
        Some(rest) => rest.is_empty() || whole.ends_with('/') || rest.starts_with(['/', '?', '#']),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn idle_sessions_end() {
        let sessions = Sessions::default();
        let used = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        let idle = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        let streaming = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        let stream = streaming.stream();
        idle.subscribe("file:///a".into());
        tokio::time::advance(MAX_IDLE / 2).await;
        sessions.find(&used.id).unwrap();
        tokio::time::advance(MAX_IDLE / 2).await;
        assert_eq!(sessions.sweep(), ["file:///a"]);
        assert!(idle.ended.is_cancelled() && sessions.find(&idle.id).is_none());
        assert!(sessions.find(&used.id).is_some() && sessions.find(&streaming.id).is_some());
        streaming.end_stream(&stream);
        tokio::time::advance(MAX_IDLE).await;
        sessions.sweep();
        assert!(sessions.find(&streaming.id).is_none());
    }

    #[tokio::test]
    async fn idlest_session_is_replaced() {
        let sessions = Sessions::default();
        let first = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        let second = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        sessions.find(&first.id);
        for _ in 2..=MAX_SESSIONS {
            sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        }
        assert!(sessions.find(&first.id).is_some() && sessions.find(&second.id).is_none());
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
    }

    #[tokio::test]
    async fn last_session_releases_subscription() {
        let sessions = Sessions::default();
        let both = [0, 1].map(|_| sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap());
        both.iter().for_each(|session| {
            session.subscribe("file:///a".into());
        });
        assert!(both[0].is_subscribed_to("file:///a") && both[0].is_subscribed_to("file:///a/b"));
        assert!(!both[0].is_subscribed_to("file:///b") && !both[0].is_subscribed_to("file:///ab"));
        assert_eq!(sessions.close(&both[0].id).unwrap(), [""; 0]);
        assert_eq!(sessions.close(&both[1].id).unwrap(), ["file:///a"]);
    }

    #[test]
    fn later_stream_replaces_earlier() {
        let sessions = Sessions::default();
        let session = sessions.open("2025-11-25".into(), ServerRequestPolicy::ALL).unwrap();
        let (first, second) = (session.stream(), session.stream());
        assert!(first.is_cancelled() && !second.is_cancelled());
        session.end_stream(&first);
        assert!(session.idle_since().is_none());
    }
}
