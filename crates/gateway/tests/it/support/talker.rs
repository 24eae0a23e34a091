//! A server that says about a call what the test tells it to say, on the stream of that call.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{
    eventually,
    script::{Act, Asked, Script, answer, legacy, modern},
};

/// A server with the tool `t`; a legacy one has the prompt `p` too.
pub(crate) struct Talker {
    pub(crate) script: Script,
    calls: Arc<Mutex<Vec<Talk>>>,
}

/// One call of it.
#[derive(Clone, Debug)]
pub(crate) struct Talk {
    id: String,
    token: Value,
    stream: UnboundedSender<String>,
}

impl Talker {
    pub(crate) async fn start(is_modern: bool) -> Self {
        let calls: Arc<Mutex<Vec<Talk>>> = Arc::default();
        let noted = calls.clone();
        let script = Script::start(move |asked| serve(asked, is_modern, &noted)).await;
        Self { script, calls }
    }

    pub(crate) fn url(&self) -> String {
        self.script.url()
    }

    /// The call of this number, once it has come.
    pub(crate) async fn call(&self, number: usize) -> Talk {
        eventually("the server has the call", || self.count() > number).await;
        self.calls.lock().expect("no panic")[number].clone()
    }

    /// How many calls have come.
    pub(crate) fn count(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }

    /// How often it was told that nobody wants an answer.
    pub(crate) fn cancels(&self) -> usize {
        self.script.asked_for("notifications/cancelled")
    }
}

fn serve(asked: &Asked, is_modern: bool, calls: &Mutex<Vec<Talk>>) -> Act {
    if asked.method() == "initialize" {
        let about = r#""capabilities":{"tools":{},"prompts":{}},"serverInfo":{"name":"s","version":"1"}"#;
        return answer(asked, &format!(r#"{{"protocolVersion":"2025-11-25",{about}}}"#));
    }
    if let Some(act) = if is_modern { modern(asked) } else { legacy(asked) } {
        return act;
    }
    if asked.verb == "GET" {
        return Act::Answer(405, "text/plain", String::new());
    }
    match asked.method() {
        "tools/call" | "prompts/get" => {
            let (stream, pieces) = unbounded_channel();
            calls.lock().expect("no panic").push(Talk {
                id: asked.id(),
                token: asked.body["params"]["_meta"]["progressToken"].clone(),
                stream,
            });
            Act::Stream(pieces)
        }
        "prompts/list" => answer(
            asked,
            r#"{"resultType":"complete","prompts":[{"name":"p"}],"ttlMs":0,"cacheScope":"private"}"#,
        ),
        _ => answer(asked, "{}"),
    }
}

impl Talk {
    /// Says a piece of the stream.
    pub(crate) fn piece(&self, piece: &str) {
        let _ = self.stream.send(piece.to_owned());
    }

    /// Says how far it is.
    pub(crate) fn progress(&self, progress: u64) {
        let params = json!({"progressToken": self.token, "progress": progress});
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        self.piece(&format!("data: {told}\n\n"));
    }

    /// Answers with this text, and ends the stream.
    pub(crate) fn answer(&self, text: &str) {
        let content = json!([{"type": "text", "text": text}]);
        self.piece(&format!(
            "data: {{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{{\"resultType\":\"complete\",\"content\":{content}}}}}\n\n",
            self.id
        ));
        self.piece("");
    }

    /// Whether the gateway has hung up.
    pub(crate) fn is_left(&self) -> bool {
        self.stream.is_closed()
    }
}
