//! A legacy server that forgets its sessions, as one does that was restarted.

use std::sync::{Arc, Mutex, MutexGuard};

use portolan_fixtures::scripted::{EventStream, Reply, Request, ScriptedServer};
use serde_json::{Value, json};

use super::scripted;

/// A server with one of each thing, and GET streams. It logs the calls that it has executed.
pub(crate) struct ForgetfulServer {
    server: ScriptedServer,
    state: Arc<Mutex<State>>,
}

/// What such a server says to a session that it does not know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: &'static str,
}

struct State {
    refusal: Refusal,
    /// The number of sessions so far.
    opened: usize,
    /// The first session that it still knows.
    oldest: usize,
    streams: Vec<EventStream>,
    executed: Vec<Value>,
}

impl ForgetfulServer {
    pub(crate) async fn start(refusal: Refusal) -> Self {
        let state = Arc::new(Mutex::new(State {
            refusal,
            opened: 0,
            oldest: 1,
            streams: Vec::new(),
            executed: Vec::new(),
        }));
        let shared = state.clone();
        let server = scripted(move |request| shared.lock().expect("no panic").serve(request)).await;
        Self { server, state }
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// Forgets all sessions, and breaks their streams off.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.oldest = state.opened + 1;
        state.streams.clear();
    }

    /// How many sessions were opened.
    pub(crate) fn opened(&self) -> usize {
        self.state().opened
    }

    /// The open GET streams.
    pub(crate) fn streams(&self) -> usize {
        let mut state = self.state();
        state.streams.retain(|stream| !stream.is_closed());
        state.streams.len()
    }

    /// Says on all GET streams that the tools have changed.
    pub(crate) fn tools_changed(&self) -> usize {
        let changed = json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"});
        let state = self.state();
        state.streams.iter().filter(|stream| stream.send(&changed)).count()
    }

    /// How often the call with this argument was executed.
    pub(crate) fn executed(&self, key: &str) -> usize {
        self.state().executed.iter().filter(|known| **known == key).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic")
    }
}

impl State {
    fn serve(&mut self, request: &Request) -> Reply {
        match (request.method(), request.session()) {
            ("server/discover", _) => return Reply::new(400, "text/plain", "no session"),
            ("initialize", _) => {
                self.opened += 1;
                let capabilities = r#"{"tools":{"listChanged":true},"prompts":{},"resources":{}}"#;
                let server = r#"{"name":"s","version":"1"}"#;
                let result = format!(
                    r#"{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"serverInfo":{server}}}"#
                );
                return Reply::result(request, result).with_header("mcp-session-id", format!("s{}", self.opened));
            }
            (_, Some(session)) if self.knows(session) => {}
            _ => return Reply::new(self.refusal.status, self.refusal.content_type, self.refusal.body),
        }
        if request.verb == "GET" {
            let (events, reply) = Reply::events();
            self.streams.push(events);
            return reply;
        }
        match request.method() {
            "ping" => Reply::result(request, "{}"),
            "tools/list" => Reply::result(
                request,
                json!({"tools": [{"name": "t", "inputSchema": {"type": "object"}}]}),
            ),
            "prompts/list" => Reply::result(request, json!({"prompts": [{"name": "p"}]})),
            "resources/list" => Reply::result(request, json!({"resources": [{"uri": "note://1", "name": "one"}]})),
            "resources/templates/list" => Reply::result(request, json!({"resourceTemplates": []})),
            "tools/call" => {
                self.executed.push(request.argument("key").clone());
                Reply::result(request, json!({"content": [{"type": "text", "text": "done"}]}))
            }
            _ => Reply::status(202),
        }
    }

    fn knows(&self, session: &str) -> bool {
        let number = session.strip_prefix('s').and_then(|number| number.parse().ok());
        number.is_some_and(|number: usize| (self.oldest..=self.opened).contains(&number))
    }
}
