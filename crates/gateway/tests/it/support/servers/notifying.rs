//! A server of one era that sends notifications when the test says so.

use std::sync::{Arc, Mutex, MutexGuard};

use portolan_fixtures::scripted::{EventStream, Reply, Request, ScriptedServer};
use serde_json::{Value, json};

use super::scripted;
use crate::support::eventually;

const CAPABILITIES: &str = r#""capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"logging":{}}"#;
/// The members that results of modern lists have besides.
const MODERN: &str = r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#;
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// A server with notifications. A resource `file:///unknown` cannot be subscribed to.
pub(crate) struct NotifyingServer {
    pub(crate) server: ScriptedServer,
    state: Arc<Mutex<State>>,
    modern: bool,
}

#[derive(Default)]
struct State {
    streams: Vec<Stream>,
    sessions: usize,
    tools: Vec<String>,
    /// URIs that are refused.
    unknown: Vec<String>,
    /// Whether it has no stream outside of calls.
    without_streams: bool,
    /// The levels of what it logs in each call.
    logs: Vec<&'static str>,
    /// What it says in the stream of each call, before the result.
    said: Vec<String>,
    /// Calls that are not answered.
    held: Vec<EventStream>,
}

/// A stream of notifications: of a legacy session, or of a listen.
struct Stream {
    events: EventStream,
    session: String,
    /// The id and the filter of a listen.
    listen: Option<(Value, Value)>,
}

impl NotifyingServer {
    pub(crate) async fn start(modern: bool) -> Self {
        let state = Arc::new(Mutex::new(State {
            tools: vec!["t".into()],
            unknown: vec!["file:///unknown".into()],
            ..State::default()
        }));
        let shared = state.clone();
        let server = scripted(move |request| {
            let mut state = shared.lock().expect("no panic");
            if modern {
                state.modern(request)
            } else {
                state.legacy(request)
            }
        })
        .await;
        Self { server, state, modern }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn set_tools(&self, tools: &[&str]) {
        self.state().tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    }

    /// Refuses streams outside of calls from now on.
    pub(crate) fn refuse_streams(&self) {
        self.state().without_streams = true;
    }

    /// Logs at these levels in each call.
    pub(crate) fn set_logs(&self, levels: &[&'static str]) {
        self.state().logs = levels.to_vec();
    }

    /// Sends these events in each call from now on, before the result.
    pub(crate) fn set_said(&self, events: &[&str]) {
        self.state().said = events.iter().map(|event| (*event).to_owned()).collect();
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        let mut state = self.state();
        state.streams.retain(|stream| !stream.events.is_closed());
        state.streams.len()
    }

    pub(crate) async fn wait_for_stream(&self) {
        eventually("the server has a stream", || self.streams() > 0).await;
    }

    /// Sends a notification on all streams that want it; returns on how many.
    pub(crate) fn notify(&self, method: &str, params: Value) -> usize {
        let state = self.state();
        let sent = state.streams.iter().filter(|stream| stream.notify(method, &params));
        sent.count()
    }

    /// Sends a message on the stream of one session; returns whether that is open.
    pub(crate) fn send(&self, session: &str, message: &Value) -> bool {
        let state = self.state();
        let mut streams = state.streams.iter().filter(|stream| stream.session == session);
        streams.any(|stream| stream.events.send(message))
    }

    /// Sends this text on all streams.
    pub(crate) fn send_raw(&self, text: &str) {
        self.state()
            .streams
            .iter()
            .for_each(|stream| assert!(stream.events.send_raw(text)));
    }

    pub(crate) fn resource_updated(&self, uri: &str) -> usize {
        self.notify("notifications/resources/updated", json!({"uri": uri}))
    }

    pub(crate) fn tools_changed(&self) -> usize {
        self.notify("notifications/tools/list_changed", json!({}))
    }

    /// Ends all streams.
    pub(crate) fn close_streams(&self) {
        self.state().streams.clear();
    }

    /// The params of all requests of a method.
    pub(crate) fn params_of(&self, method: &str) -> Vec<Value> {
        self.server.params_of(method)
    }

    /// The session of the first call.
    pub(crate) fn call_session(&self) -> String {
        let requests = self.server.requests();
        let call = requests.iter().find(|request| request.method() == "tools/call");
        call.and_then(Request::session).expect("a session").to_owned()
    }

    /// The URIs that are subscribed to, by the requests so far.
    pub(crate) fn subscribed(&self) -> Vec<String> {
        if self.modern {
            let last = self.params_of("subscriptions/listen").pop().unwrap_or_default();
            let uris = last["notifications"]["resourceSubscriptions"].as_array().cloned();
            return uris.unwrap_or_default().iter().map(text).collect();
        }
        let mut uris: Vec<String> = Vec::new();
        for request in self.server.requests() {
            let uri = text(&request.params()["uri"]);
            match request.method() {
                "resources/subscribe" => uris.push(uri),
                "resources/unsubscribe" => uris.retain(|known| *known != uri),
                _ => {}
            }
        }
        uris
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Stream {
    fn notify(&self, method: &str, params: &Value) -> bool {
        let mut params = params.clone();
        if let Some((id, filter)) = &self.listen {
            let wanted = match method {
                "notifications/tools/list_changed" => filter["toolsListChanged"] == true,
                "notifications/prompts/list_changed" => filter["promptsListChanged"] == true,
                "notifications/resources/list_changed" => filter["resourcesListChanged"] == true,
                _ => filter["resourceSubscriptions"]
                    .as_array()
                    .is_some_and(|uris| uris.contains(&params["uri"])),
            };
            if !wanted {
                return false;
            }
            params["_meta"] = json!({SUBSCRIPTION: id});
        }
        self.events
            .send(json!({"jsonrpc": "2.0", "method": method, "params": params}))
    }
}

impl State {
    fn list(&self, request: &Request, extra: &str) -> Reply {
        let definition = |name: &String| json!({"name": name, "inputSchema": {"type": "object"}});
        let tools: Vec<_> = self.tools.iter().map(definition).collect();
        Reply::result(request, format!(r#"{{"tools":{}{extra}}}"#, json!(tools)))
    }

    fn call(&mut self, request: &Request) -> Reply {
        let (events, reply) = Reply::events();
        for level in &self.logs {
            let params = json!({"level": level, "data": level});
            events.send(json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}));
        }
        self.said.iter().for_each(|text| assert!(events.send_raw(text)));
        if request.argument("hold") == true {
            self.held.push(events);
            return reply;
        }
        let result = r#"{"resultType":"complete","content":[{"type":"text","text":"done"}]}"#;
        events.send(format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#,
            request.id()
        ));
        reply
    }

    fn listen(&mut self, request: &Request) -> Reply {
        let (events, reply) = Reply::events();
        let (id, mut filter) = (request.body["id"].clone(), request.params()["notifications"].clone());
        if let Some(uris) = filter["resourceSubscriptions"].as_array_mut() {
            uris.retain(|uri| !self.unknown.contains(&text(uri)));
        }
        let params = json!({"notifications": filter, "_meta": {SUBSCRIPTION: id}});
        let method = "notifications/subscriptions/acknowledged";
        events.send(json!({"jsonrpc": "2.0", "method": method, "params": params}));
        self.streams.push(Stream {
            events,
            session: String::new(),
            listen: Some((id, filter)),
        });
        reply
    }

    fn modern(&mut self, request: &Request) -> Reply {
        match request.method() {
            "server/discover" => Reply::result(
                request,
                format!(r#"{{"supportedVersions":["2026-07-28"],{CAPABILITIES}{MODERN}}}"#),
            ),
            "tools/list" => self.list(request, MODERN),
            "tools/call" => self.call(request),
            "subscriptions/listen" if !self.without_streams => self.listen(request),
            _ => Reply::error(request, -32601, "none").with_status(404),
        }
    }

    fn legacy(&mut self, request: &Request) -> Reply {
        match request.verb.as_str() {
            "DELETE" => return Reply::status(200),
            "GET" if self.without_streams => return Reply::status(405),
            "GET" => {
                let (events, reply) = Reply::events();
                self.streams.push(Stream {
                    events,
                    session: request.session().unwrap_or_default().to_owned(),
                    listen: None,
                });
                return reply;
            }
            _ => {}
        }
        match request.method() {
            "initialize" => {
                self.sessions += 1;
                let server = r#""serverInfo":{"name":"s","version":"1"}"#;
                let result = format!(r#"{{"protocolVersion":"2025-11-25",{CAPABILITIES},{server}}}"#);
                Reply::result(request, result).with_header("mcp-session-id", format!("s{}", self.sessions))
            }
            "tools/list" => self.list(request, ""),
            "tools/call" => self.call(request),
            "resources/subscribe" if self.unknown.contains(&text(&request.params()["uri"])) => {
                Reply::error(request, -32002, "none")
            }
            "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => Reply::result(request, "{}"),
            method if method.is_empty() || method.starts_with("notifications/") => Reply::status(202),
            _ => Reply::error(request, -32601, "none"),
        }
    }
}
