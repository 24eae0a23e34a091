//! Servers of either era that send requests to their clients in the middle of a call.
//!
//! The tool `ask` takes `{"tag", "requests", "rounds", "method"}`: in each round it sends so many requests of this method.
//! Its result is the tag and what the client responded.

mod call;
mod out_of_band;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use portolan_fixtures::scripted::{Reply, Request, ScriptedServer};
use serde_json::{Value, json};
use tokio::sync::Notify;

use self::{call::CallSpec, out_of_band::SessionStreams};
use super::scripted;

/// How a server that sends its requests on the session's GET stream replies to the call itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallReply {
    Events,
    /// In JSON: the head comes when the call is over.
    Json,
}

/// A server that sends requests.
pub(crate) struct RequestingServer {
    server: ScriptedServer,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    modern: bool,
    /// Whether streams have event ids and can be resumed.
    resumable: bool,
    /// The GET streams of its sessions, if it has any.
    session_streams: Option<SessionStreams>,
    next: AtomicUsize,
    /// Whether the page of `visit-first` was visited.
    visited: AtomicBool,
    /// Responses by the id of the request; `None` while one is awaited.
    responses: Mutex<HashMap<String, Option<Value>>>,
    /// Responses to no request, or to one that had its response.
    unexpected: AtomicUsize,
    /// What was written to each call's stream, for replay.
    streams: Mutex<HashMap<String, Vec<String>>>,
    changed: Notify,
}

impl RequestingServer {
    pub(crate) async fn legacy() -> Self {
        Self::start(State::default()).await
    }

    /// A legacy server whose streams can be resumed.
    pub(crate) async fn resumable() -> Self {
        Self::start(State {
            resumable: true,
            ..State::default()
        })
        .await
    }

    pub(crate) async fn modern() -> Self {
        Self::start(State {
            modern: true,
            ..State::default()
        })
        .await
    }

    /// A legacy server that sends its requests on the GET streams of its sessions.
    pub(crate) async fn out_of_band(reply: CallReply) -> Self {
        Self::start(State {
            session_streams: Some(SessionStreams::new(Some(reply))),
            ..State::default()
        })
        .await
    }

    /// A legacy server that has such streams, but sends its requests on those of its calls, which can be resumed.
    pub(crate) async fn resumable_with_session_streams() -> Self {
        Self::start(State {
            resumable: true,
            session_streams: Some(SessionStreams::new(None)),
            ..State::default()
        })
        .await
    }

    async fn start(state: State) -> Self {
        let state = Arc::new(state);
        let shared = state.clone();
        let server = scripted(move |request| serve(&shared, request)).await;
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn is_modern(&self) -> bool {
        self.state.modern
    }

    /// How many calls of the tool were begun, apart from those that brought responses.
    pub(crate) fn calls(&self) -> usize {
        let is_new = |request: &Request| request.method() == "tools/call" && request.params()["requestState"].is_null();
        self.server.count(is_new)
    }

    /// How many calls were cancelled.
    pub(crate) fn cancelled(&self) -> usize {
        self.server.count_of("notifications/cancelled")
    }

    /// How many sessions were ended.
    pub(crate) fn ended_sessions(&self) -> usize {
        self.server.count(|request| request.verb == "DELETE")
    }

    /// How many GET requests resumed a stream.
    pub(crate) fn resumed(&self) -> usize {
        let resumes = |request: &Request| request.verb == "GET" && request.header("last-event-id").is_some();
        self.server.count(resumes)
    }

    /// How many responses belonged to no open request.
    pub(crate) fn unexpected_responses(&self) -> usize {
        self.state.unexpected.load(Ordering::Relaxed)
    }

    /// The client capabilities that were declared last: with a handshake or, by modern clients, a call.
    pub(crate) fn declared_capabilities(&self) -> Value {
        let declared = |request: &Request| match request.method() {
            "initialize" => Some(request.params()["capabilities"].clone()),
            "tools/call" => request.params()["_meta"]
                .get("io.modelcontextprotocol/clientCapabilities")
                .cloned(),
            _ => None,
        };
        self.server
            .requests()
            .iter()
            .rev()
            .find_map(declared)
            .expect("declared capabilities")
    }

    /// Awaits a response to a request that the test sends itself.
    pub(crate) fn expect_response(&self, id: &str) {
        self.state.responses().insert(id.into(), None);
    }

    pub(crate) fn response(&self, id: &str) -> Option<Value> {
        self.state.responses().get(id).cloned().flatten()
    }

    /// Forgets that the page of `visit-first` was visited.
    pub(crate) fn forget_visit(&self) {
        self.state.visited.store(false, Ordering::Relaxed);
    }
}

/// The GET streams of its sessions.
impl RequestingServer {
    fn session_streams(&self) -> &SessionStreams {
        self.state.session_streams.as_ref().expect("it has session streams")
    }

    /// Has no such streams any more.
    pub(crate) fn refuse_streams(&self) {
        self.session_streams().refuse();
    }

    /// How many GET requests opened one, or tried to.
    pub(crate) fn stream_requests(&self) -> usize {
        let opens = |request: &Request| request.verb == "GET" && request.header("last-event-id").is_none();
        self.server.count(opens)
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.session_streams().open()
    }

    pub(crate) fn sessions_opened(&self) -> usize {
        self.session_streams().sessions()
    }

    /// The session of each call, in the order of the calls.
    pub(crate) fn call_sessions(&self) -> Vec<String> {
        let requests = self.server.requests().into_iter();
        let calls = requests.filter(|request| request.method() == "tools/call");
        calls
            .map(|call| call.session().unwrap_or_default().to_owned())
            .collect()
    }

    /// Sends a message in a session; returns whether its stream is open.
    pub(crate) fn send(&self, session: &str, message: &Value) -> bool {
        self.session_streams().send(session, message)
    }
}

impl State {
    fn responses(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Value>>> {
        self.responses.lock().expect("no panic")
    }

    fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes a response of the client.
    fn accept(&self, body: &Value) {
        let id = body["id"].as_str().unwrap_or_default();
        let outcome = body.get("result").unwrap_or_else(|| &body["error"]);
        match self.responses().get_mut(id) {
            Some(open @ None) => *open = Some(outcome.clone()),
            _ => drop(self.unexpected.fetch_add(1, Ordering::Relaxed)),
        }
        self.changed.notify_waiters();
    }

    /// Awaits the response to a request; `None` once `closed` is ready.
    async fn response_to(&self, id: &str, closed: impl Future<Output = ()>) -> Option<Value> {
        tokio::pin!(closed);
        loop {
            let changed = self.changed.notified();
            if let Some(Some(response)) = self.responses().get(id) {
                return Some(response.clone());
            }
            tokio::select! {
                () = changed => {}
                () = &mut closed => return None,
            }
        }
    }
}

fn serve(state: &Arc<State>, request: &Request) -> Reply {
    if let Some(reply) = out_of_band::serve(state, request) {
        return reply;
    }
    match request.verb.as_str() {
        "GET" => match request.header("last-event-id") {
            Some(last) => call::resume(state, last),
            None => Reply::status(405),
        },
        "DELETE" => Reply::status(204),
        _ => serve_message(state, request),
    }
}

fn serve_message(state: &Arc<State>, request: &Request) -> Reply {
    let modern = state.modern;
    match request.method() {
        "" => {
            state.accept(&request.body);
            Reply::status(202)
        }
        "server/discover" if modern => Reply::result(
            request,
            json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"}),
        ),
        "initialize" if !modern => {
            let result = json!({"protocolVersion": request.params()["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "requesting", "version": "1"}});
            let session = state.session_streams.as_ref().map(SessionStreams::open_session);
            Reply::result(request, result).with_header("mcp-session-id", session.unwrap_or_else(|| "only".into()))
        }
        "tools/list" => {
            let tool = json!({"name": "ask", "inputSchema": {"type": "object"}});
            let list = json!({"resultType": "complete", "tools": [tool], "ttlMs": 0, "cacheScope": "private"});
            Reply::result(request, list)
        }
        method if method.starts_with("notifications/") => Reply::status(202),
        "tools/call" if modern => Reply::result(request, call::modern(&CallSpec::of(request), request)),
        "tools/call" if request.argument("method") == "visit-first" => visit_first(state, request),
        "tools/call" => call::legacy(state, request),
        _ => Reply::error(request, -32601, "no").with_status(if modern { 404 } else { 200 }),
    }
}

/// A call that needs a page to be visited first.
fn visit_first(state: &State, request: &Request) -> Reply {
    if state.visited.swap(true, Ordering::Relaxed) {
        return Reply::result(request, json!({"content": [{"type": "text", "text": "visited"}]}));
    }
    let page = json!({"mode": "url", "elicitationId": "e", "url": "https://example.com/visit", "message": "please"});
    Reply::error_with(
        request,
        json!({"code": -32042, "message": "visit", "data": {"elicitations": [page]}}),
    )
}
