//! A server that sends on the stream of a call what the test tells it to.

use std::sync::{Arc, Mutex};

use portolan_fixtures::scripted::{EventStream, Reply, Request, ScriptedServer};
use serde_json::{Value, json};

use super::{common, scripted};
use crate::support::eventually;

/// A server with the tool `t`; a legacy one has the prompt `p` too.
pub(crate) struct StreamingServer {
    server: ScriptedServer,
    calls: Arc<Mutex<Vec<StreamedCall>>>,
}

/// One call of it.
#[derive(Clone, Debug)]
pub(crate) struct StreamedCall {
    id: String,
    token: Value,
    events: EventStream,
}

impl StreamingServer {
    pub(crate) async fn start(is_modern: bool) -> Self {
        let calls: Arc<Mutex<Vec<StreamedCall>>> = Arc::default();
        let noted = calls.clone();
        let server = scripted(move |request| serve(request, is_modern, &noted)).await;
        Self { server, calls }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The call of this number, once it has come.
    pub(crate) async fn call(&self, number: usize) -> StreamedCall {
        eventually("the server has the call", || self.calls() > number).await;
        self.calls.lock().expect("no panic")[number].clone()
    }

    /// How many calls have come.
    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }

    /// How many calls were cancelled by a notification.
    pub(crate) fn cancelled(&self) -> usize {
        self.server.count_of("notifications/cancelled")
    }
}

fn serve(request: &Request, is_modern: bool, calls: &Mutex<Vec<StreamedCall>>) -> Reply {
    if request.method() == "initialize" {
        let about = r#""capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":"s","version":"1"}"#;
        return Reply::result(request, format!(r#"{{"protocolVersion":"2025-11-25",{about}}}"#));
    }
    if let Some(reply) = common(is_modern, request) {
        return reply;
    }
    if request.verb == "GET" {
        return Reply::status(405);
    }
    match request.method() {
        "tools/call" | "prompts/get" => {
            let (events, reply) = Reply::events();
            calls.lock().expect("no panic").push(StreamedCall {
                id: request.id(),
                token: request.params()["_meta"]["progressToken"].clone(),
                events,
            });
            reply
        }
        "prompts/list" => Reply::result(
            request,
            r#"{"resultType":"complete","prompts":[{"name":"p"}],"ttlMs":0,"cacheScope":"private"}"#,
        ),
        _ => Reply::result(request, "{}"),
    }
}

impl StreamedCall {
    /// The id of the call, as JSON text.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Sends this text as one chunk; an empty one ends the stream.
    pub(crate) fn send_raw(&self, text: &str) {
        self.events.send_raw(text);
    }

    pub(crate) fn send(&self, message: &Value) {
        self.events.send(message);
    }

    pub(crate) fn send_progress(&self, progress: u64) {
        let params = json!({"progressToken": self.token, "progress": progress});
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}));
    }

    /// Responds with this text, and ends the stream.
    pub(crate) fn respond(&self, text: &str) {
        let content = json!([{"type": "text", "text": text}]);
        self.events.send(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete","content":{content}}}}}"#,
            self.id
        ));
        self.events.send_raw("");
    }

    /// Whether the stream is over, or the gateway has closed it.
    pub(crate) fn is_closed(&self) -> bool {
        self.events.is_closed()
    }
}
