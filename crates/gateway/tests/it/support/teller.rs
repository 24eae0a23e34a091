//! A server of one era that tells of changes whenever the test says so, and notes what it is asked.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    eventually,
    script::{Act, Asked, Script, answer},
};

/// A server that tells.
pub(crate) struct Teller {
    pub(crate) script: Script,
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
    mute: bool,
    /// What it logs in each call, by level.
    logs: Vec<&'static str>,
    /// Calls that are not answered.
    held: Vec<UnboundedSender<String>>,
}

struct Stream {
    out: UnboundedSender<String>,
    session: String,
    /// The id and the filter of a listen.
    listen: Option<(Value, Value)>,
}

impl Teller {
    pub(crate) async fn start(modern: bool) -> Self {
        let state = Arc::new(Mutex::new(State {
            tools: vec!["t".into()],
            unknown: vec!["file:///unknown".into()],
            ..State::default()
        }));
        let asked = state.clone();
        let script = Script::start(move |request| {
            let mut state = asked.lock().expect("no panic");
            if modern {
                state.modern(request)
            } else {
                state.legacy(request)
            }
        })
        .await;
        Self { script, state, modern }
    }

    pub(crate) fn url(&self) -> String {
        self.script.url()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }

    pub(crate) fn tools(&self, tools: &[&str]) {
        self.state().tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
    }

    pub(crate) fn mute(&self) {
        self.state().mute = true;
    }

    pub(crate) fn logs(&self, levels: &[&'static str]) {
        self.state().logs = levels.to_vec();
    }

    /// How many streams are open.
    pub(crate) fn streams(&self) -> usize {
        let mut state = self.state();
        state.streams.retain(|stream| !stream.out.is_closed());
        state.streams.len()
    }

    pub(crate) async fn is_listened_to(&self) {
        eventually("the server is listened to", || self.streams() > 0).await;
    }

    /// Tells all who listen; returns to how many.
    pub(crate) fn tell(&self, method: &str, params: Value) -> usize {
        let state = self.state();
        let told = state.streams.iter().filter(|stream| stream.tell(method, &params));
        told.count()
    }

    /// Tells the stream of one session.
    pub(crate) fn tell_one(&self, session: &str, message: &Value) -> bool {
        let state = self.state();
        let mut streams = state.streams.iter().filter(|stream| stream.session == session);
        streams.any(|stream| stream.out.send(format!("data: {message}\n\n")).is_ok())
    }

    pub(crate) fn updated(&self, uri: &str) -> usize {
        self.tell("notifications/resources/updated", json!({"uri": uri}))
    }

    pub(crate) fn tools_changed(&self) -> usize {
        self.tell("notifications/tools/list_changed", json!({}))
    }

    /// Ends all streams.
    pub(crate) fn hang_up(&self) {
        self.state().streams.clear();
    }

    /// The params of all requests of a method.
    pub(crate) fn asked(&self, method: &str) -> Vec<Value> {
        let asked = self.script.asked().into_iter();
        asked
            .filter(|asked| asked.method() == method)
            .map(|asked| asked.body["params"].clone())
            .collect()
    }

    /// The URIs that were subscribed to, as they were asked for last.
    pub(crate) fn subscribed(&self) -> Vec<String> {
        if self.modern {
            let last = self.asked("subscriptions/listen").pop().unwrap_or_default();
            let uris = last["notifications"]["resourceSubscriptions"].as_array().cloned();
            return uris.unwrap_or_default().iter().map(text).collect();
        }
        let mut uris: Vec<String> = Vec::new();
        for asked in self.script.asked() {
            let uri = text(&asked.body["params"]["uri"]);
            match asked.method() {
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
    fn tell(&self, method: &str, params: &Value) -> bool {
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
            params["_meta"] = json!({"io.modelcontextprotocol/subscriptionId": id});
        }
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.out.send(format!("data: {message}\n\n")).is_ok()
    }
}

impl State {
    fn list(&self, extra: &str) -> String {
        let tools: Vec<_> = self
            .tools
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {"type": "object"}}))
            .collect();
        format!(r#"{{"tools":{}{extra}}}"#, json!(tools))
    }

    fn call(&mut self, asked: &Asked) -> Act {
        let (out, pieces) = unbounded_channel();
        for level in &self.logs {
            let log =
                json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "data": level}});
            out.send(format!("data: {log}\n\n")).expect("open");
        }
        if asked.body["params"]["arguments"]["hold"] == true {
            self.held.push(out);
            return Act::Stream(pieces);
        }
        let answer = format!(
            r#"{{"jsonrpc":"2.0","id":{},"result":{{"resultType":"complete","content":[{{"type":"text","text":"done"}}]}}}}"#,
            asked.id()
        );
        out.send(format!("data: {answer}\n\n")).expect("open");
        Act::Stream(pieces)
    }

    fn modern(&mut self, asked: &Asked) -> Act {
        match asked.method() {
            "server/discover" => answer(
                asked,
                r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"logging":{}},"ttlMs":0,"cacheScope":"private"}"#,
            ),
            "tools/list" => answer(
                asked,
                &self.list(r#","resultType":"complete","ttlMs":0,"cacheScope":"private""#),
            ),
            "tools/call" => self.call(asked),
            "subscriptions/listen" if !self.mute => {
                let (out, pieces) = unbounded_channel();
                let (id, mut filter) = (asked.body["id"].clone(), asked.body["params"]["notifications"].clone());
                if let Some(uris) = filter["resourceSubscriptions"].as_array_mut() {
                    uris.retain(|uri| !self.unknown.contains(&text(uri)));
                }
                let params = json!({"notifications": filter, "_meta": {"io.modelcontextprotocol/subscriptionId": id}});
                let ack =
                    json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params});
                out.send(format!("data: {ack}\n\n")).expect("open");
                self.streams.push(Stream {
                    out,
                    session: String::new(),
                    listen: Some((id, filter)),
                });
                Act::Stream(pieces)
            }
            _ => not_found(asked, 404),
        }
    }

    fn legacy(&mut self, asked: &Asked) -> Act {
        if asked.verb == "DELETE" {
            return Act::Answer(200, "text/plain", String::new());
        }
        if asked.verb == "GET" {
            if self.mute {
                return Act::Answer(405, "text/plain", String::new());
            }
            let (out, pieces) = unbounded_channel();
            let session = asked.head.lines().find_map(|line| line.strip_prefix("mcp-session-id:"));
            self.streams.push(Stream {
                out,
                session: session.unwrap_or_default().trim().to_owned(),
                listen: None,
            });
            return Act::Stream(pieces);
        }
        match asked.method() {
            "initialize" => {
                self.sessions += 1;
                let result = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"logging":{}},"serverInfo":{"name":"s","version":"1"}}"#;
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked.id());
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nmcp-session-id: s{}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    self.sessions,
                    body.len()
                );
                Act::RawThenClose(format!("{head}{body}").into_bytes())
            }
            "tools/list" => answer(asked, &self.list("")),
            "tools/call" => self.call(asked),
            "resources/subscribe" if self.unknown.contains(&text(&asked.body["params"]["uri"])) => {
                let body = format!(
                    r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32002,"message":"none"}}}}"#,
                    asked.id()
                );
                Act::Answer(200, "application/json", body)
            }
            "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" => answer(asked, "{}"),
            method if method.starts_with("notifications/") => Act::Answer(202, "text/plain", String::new()),
            "" => Act::Answer(202, "text/plain", String::new()),
            _ => not_found(asked, 200),
        }
    }
}

fn not_found(asked: &Asked, status: u16) -> Act {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32601,"message":"none"}}}}"#,
        asked.id()
    );
    Act::Answer(status, "application/json", body)
}
