//! A legacy server that sends requests, progress and logs of a call on the GET stream of its session, as some SDKs do.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use portolan_fixtures::scripted::{DeferredReply, EventStream, Reply, Request};
use serde_json::{Value, json};

use super::{
    CallReply, State,
    call::{self, CallSpec},
};

/// The GET streams of a server's sessions.
#[derive(Debug)]
pub(super) struct SessionStreams {
    /// How calls are answered whose requests go there; `None` if calls have streams of their own for that.
    calls: Option<CallReply>,
    refused: AtomicBool,
    sessions: AtomicUsize,
    streams: Mutex<HashMap<String, EventStream>>,
}

impl SessionStreams {
    pub(super) fn new(calls: Option<CallReply>) -> Self {
        Self {
            calls,
            refused: AtomicBool::new(false),
            sessions: AtomicUsize::new(0),
            streams: Mutex::default(),
        }
    }

    pub(super) fn refuse(&self) {
        self.refused.store(true, Ordering::Relaxed);
    }

    /// Opens a session, and returns its id.
    pub(super) fn open_session(&self) -> String {
        format!("b{}", self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// How many streams are open.
    pub(super) fn open(&self) -> usize {
        let mut streams = self.streams.lock().expect("no panic");
        streams.retain(|_, stream| !stream.is_closed());
        streams.len()
    }

    /// Sends a message in a session; returns whether its stream is open.
    pub(super) fn send(&self, session: &str, message: &Value) -> bool {
        let streams = self.streams.lock().expect("no panic");
        streams.get(session).is_some_and(|stream| stream.send(message))
    }

    fn listen(&self, session: &str) -> Reply {
        if self.refused.load(Ordering::Relaxed) {
            return Reply::status(405);
        }
        let (events, reply) = Reply::events();
        self.streams.lock().expect("no panic").insert(session.into(), events);
        reply
    }
}

/// How a call is answered in the end.
enum CallEnd {
    Events(EventStream),
    Json(DeferredReply),
}

impl CallEnd {
    async fn closed(&mut self) {
        match self {
            Self::Events(events) => events.closed().await,
            Self::Json(reply) => reply.closed().await,
        }
    }

    fn give(self, request: &Request, result: &Value) {
        match self {
            Self::Json(reply) => reply.give(Reply::result(request, result)),
            Self::Events(events) => {
                events.send(json!({"jsonrpc": "2.0", "id": request.body["id"], "result": result}));
            }
        }
    }
}

/// The reply to requests for session streams, and to calls whose requests go there.
pub(super) fn serve(state: &Arc<State>, request: &Request) -> Option<Reply> {
    let streams = state.session_streams.as_ref()?;
    if request.verb == "GET" && request.header("last-event-id").is_none() {
        return Some(streams.listen(request.session().unwrap_or_default()));
    }
    if request.method() != "tools/call" {
        return None;
    }
    let (end, reply) = match streams.calls? {
        CallReply::Events => {
            let (events, reply) = Reply::events();
            (CallEnd::Events(events), reply)
        }
        CallReply::Json => {
            let (deferred, reply) = Reply::deferred();
            (CallEnd::Json(deferred), reply)
        }
    };
    tokio::spawn(run(state.clone(), request.clone(), end));
    Some(reply)
}

async fn run(state: Arc<State>, request: Request, mut end: CallEnd) {
    if request.argument("hold") == true {
        return end.closed().await;
    }
    let streams = state.session_streams.as_ref().expect("it has session streams");
    let session = request.session().unwrap_or_default();
    let spec = CallSpec::of(&request);
    let mut said = Vec::new();
    for round in 1..=spec.rounds {
        report(streams, session, &request, &spec, round);
        let mut ids = Vec::new();
        for _ in 0..spec.requests {
            let (id, message) = spec.open_request(&state);
            if !streams.send(session, &message) {
                // As with the SDKs, the request is lost and the call waits.
                return end.closed().await;
            }
            ids.push(id);
        }
        for id in ids {
            let Some(response) = state.response_to(&id, end.closed()).await else {
                return;
            };
            said.push(call::response_text(&response));
        }
    }
    report(streams, session, &request, &spec, spec.rounds + 1);
    end.give(&request, &spec.result(&said));
}

/// Sends the progress of a call, and two log messages.
fn report(streams: &SessionStreams, session: &str, request: &Request, spec: &CallSpec, progress: usize) {
    if !spec.progress {
        return;
    }
    streams.send(session, &call::progress(request, progress));
    for level in ["debug", "error"] {
        let params = json!({"level": level, "data": spec.tag});
        let log = json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params});
        streams.send(session, &log);
    }
}
