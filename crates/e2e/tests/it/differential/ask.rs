//! One HTTP request, as it is to be sent, to the letter.

use serde_json::{Value, json};

pub(super) const MODERN: &str = "2026-07-28";
pub(super) const LEGACY: &str = "2025-11-25";
/// In a header's value: the session of whom it is sent to.
const SESSION: &str = "{session}";

/// A request, and what it is called in the table.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) verb: &'static str,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// What the client answers if it is asked something.
    pub(super) answer: Option<Value>,
    /// Whether it is sent in a session that nobody else uses.
    pub(super) alone: bool,
    /// Whether it is sent twice, and the second answer looked at.
    pub(super) twice: bool,
    /// After how many messages of a stream it is left.
    pub(super) take: usize,
}

impl Ask {
    fn post(name: &str, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            verb: "POST",
            headers,
            body,
            answer: None,
            alone: false,
            twice: false,
            take: usize::MAX,
        }
    }

    /// A POST in a legacy session.
    pub(super) fn text(name: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
            ("mcp-protocol-version", LEGACY.to_owned()),
            ("mcp-session-id", SESSION.to_owned()),
        ];
        Self::post(name, headers, body.into())
    }

    /// A request in a legacy session.
    pub(super) fn legacy(name: &str, method: &str, params: Value) -> Self {
        Self::text(name, request(method, params).to_string())
    }

    /// A message in a legacy session.
    pub(super) fn message(name: &str, message: Value) -> Self {
        Self::text(name, message.to_string())
    }

    /// The handshake, which has no session yet.
    pub(super) fn handshake(name: &str, version: &str) -> Self {
        let client = json!({ "name": "raw", "version": "1" });
        let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": client });
        Self::legacy(name, "initialize", params)
            .without("mcp-session-id")
            .without("mcp-protocol-version")
    }

    /// A modern request, of a client that can be asked nothing.
    pub(super) fn modern(name: &str, method: &'static str, params: Value) -> Self {
        Self::modern_from(name, method, params, json!({}))
    }

    /// A modern request, of a client with these capabilities.
    pub(super) fn modern_from(name: &str, method: &str, mut params: Value, capabilities: Value) -> Self {
        params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities;
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json, text/event-stream".to_owned()),
            ("mcp-protocol-version", MODERN.to_owned()),
            ("mcp-method", method.to_owned()),
        ];
        let mirrored = match method {
            "tools/call" | "prompts/get" => params["name"].as_str(),
            "resources/read" => params["uri"].as_str(),
            _ => None,
        };
        if let Some(mirrored) = mirrored {
            headers.push(("mcp-name", mirrored.to_owned()));
        }
        Self::post(name, headers, request(method, params).to_string().into_bytes())
    }

    /// The same with one value of this header.
    pub(super) fn with(self, header: &'static str, value: &str) -> Self {
        self.without(header).and(header, value)
    }

    /// The same with one value more of this header.
    pub(super) fn and(mut self, header: &'static str, value: &str) -> Self {
        self.headers.push((header, value.to_owned()));
        self
    }

    pub(super) fn without(mut self, header: &str) -> Self {
        self.headers.retain(|(name, _)| *name != header);
        self
    }

    pub(super) fn verb(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self.body.clear();
        self
    }

    /// The same with something else in its message.
    pub(super) fn but(mut self, change: impl FnOnce(&mut Value)) -> Self {
        if let Ok(mut message) = serde_json::from_slice(&self.body) {
            change(&mut message);
            self.body = message.to_string().into_bytes();
        }
        self
    }

    pub(super) fn answering(mut self, answer: Value) -> Self {
        self.answer = Some(answer);
        self
    }

    pub(super) fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(super) fn twice(mut self) -> Self {
        self.twice = true;
        self.alone()
    }

    pub(super) fn take(mut self, messages: usize) -> Self {
        self.take = messages;
        self
    }

    /// The same again, with the client's answers and the state of the call.
    pub(super) fn retry(&self, asked: &Value) -> Option<Self> {
        let answer = self.answer.as_ref()?;
        let questions = asked["inputRequests"].as_object()?;
        let answers: Value = questions.keys().map(|key| (key.clone(), answer.clone())).collect();
        let retry = self.clone().but(|message| {
            message["id"] = 8.into();
            message["params"]["inputResponses"] = answers;
            if let Some(state) = asked["requestState"].as_str() {
                message["params"]["requestState"] = state.into();
            }
        });
        Some(Self { answer: None, ..retry })
    }

    /// The value of a header as it is sent within this session.
    pub(super) fn value(value: &str, session: &str) -> String {
        value.replace(SESSION, session)
    }
}

fn request(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params })
}
