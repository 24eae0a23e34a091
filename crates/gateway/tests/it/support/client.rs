//! Clients of each era.

use std::{net::SocketAddr, sync::atomic::AtomicU64};

use serde_json::{Value, json};

use super::raw::{Connection, HttpResponse, ResponseStream};

/// The protocol version of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientVersion {
    V2025_03_26,
    V2025_06_18,
    V2025_11_25,
    /// The modern era.
    V2026_07_28,
}

/// A client with a token, and a session if its version has sessions.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) token: String,
    pub(crate) version: ClientVersion,
    pub(crate) session: Option<String>,
    /// Its capabilities, as JSON.
    pub(crate) capabilities: String,
    next: AtomicU64,
}

/// An HTTP request before it is written. Tests change what a client may get wrong.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest {
    pub(crate) verb: &'static str,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl ClientVersion {
    pub(crate) const ALL: [Self; 4] = [
        Self::V2025_03_26,
        Self::V2025_06_18,
        Self::V2025_11_25,
        Self::V2026_07_28,
    ];
    pub(crate) const EACH_ERA: [Self; 2] = [Self::V2025_11_25, Self::V2026_07_28];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    pub(crate) fn is_modern(self) -> bool {
        self == Self::V2026_07_28
    }
}

impl Client {
    /// Returns a client after the handshake, if its version has one.
    pub(crate) async fn connect(address: SocketAddr, version: ClientVersion) -> Self {
        let mut client = Self::new(address, version);
        client.handshake().await;
        client
    }

    /// Returns such a client with these capabilities.
    pub(crate) async fn connect_with(address: SocketAddr, version: ClientVersion, capabilities: &str) -> Self {
        let mut client = Self::new(address, version);
        client.capabilities = capabilities.into();
        client.handshake().await;
        client
    }

    /// Returns a client that has not sent anything yet.
    pub(crate) fn new(address: SocketAddr, version: ClientVersion) -> Self {
        Self {
            address,
            path: "/mcp/default".into(),
            token: "alice-token".into(),
            version,
            session: None,
            capabilities: "{}".into(),
            next: AtomicU64::new(1),
        }
    }

    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = token.into();
        self
    }

    pub(crate) fn gateway(mut self, name: &str) -> Self {
        self.path = format!("/mcp/{name}");
        self
    }

    /// Returns the client, of the same session, at another address.
    pub(crate) fn at(&self, address: SocketAddr) -> Self {
        Self {
            address,
            path: self.path.clone(),
            token: self.token.clone(),
            version: self.version,
            session: self.session.clone(),
            capabilities: self.capabilities.clone(),
            next: AtomicU64::new(1000),
        }
    }

    pub(crate) async fn handshake(&mut self) -> Option<HttpResponse> {
        if self.version.is_modern() {
            return None;
        }
        let answer = self.initialize(self.version.as_str()).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        assert_eq!(answer.json()["result"]["protocolVersion"], self.version.as_str());
        let session = answer.head.get("mcp-session-id").expect("a session").to_owned();
        self.session = Some(session);
        let accepted = self.notify("notifications/initialized", json!({})).await;
        assert_eq!((accepted.status(), accepted.body.len()), (202, 0));
        Some(answer)
    }

    pub(crate) async fn initialize(&self, version: &str) -> HttpResponse {
        let capabilities: Value = serde_json::from_str(&self.capabilities).expect("JSON");
        let params = json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let mut post = self.post(body.to_string());
        post.headers.retain(|(name, _)| !name.starts_with("mcp-"));
        self.send(&post).await
    }

    pub(crate) fn next_id(&self) -> String {
        self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string()
    }

    /// Returns a POST of this body with the headers that every request of this client has.
    pub(crate) fn post(&self, body: impl Into<Vec<u8>>) -> HttpRequest {
        let mut headers = vec![
            ("host".to_owned(), self.address.to_string()),
            ("authorization".into(), format!("Bearer {}", self.token)),
            ("content-type".into(), "application/json".into()),
            ("accept".into(), "application/json, text/event-stream".into()),
        ];
        if self.session.is_some() || self.version.is_modern() {
            headers.push(("mcp-protocol-version".into(), self.version.as_str().into()));
        }
        if let Some(session) = &self.session {
            headers.push(("mcp-session-id".into(), session.clone()));
        }
        HttpRequest {
            verb: "POST",
            path: self.path.clone(),
            headers,
            body: body.into(),
        }
    }

    /// Returns a request. `params` is the raw inside of an object, such as `"name":"echo"`; `meta` is that of its `_meta`.
    pub(crate) fn request(&self, id: &str, method: &str, params: &str, meta: &str) -> HttpRequest {
        let mut members = Vec::new();
        if self.version.is_modern() {
            let comma = if meta.is_empty() { "" } else { "," };
            members.push(format!(
                r#""_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}{comma}{meta}}}"#,
                self.capabilities
            ));
        } else if !meta.is_empty() {
            members.push(format!(r#""_meta":{{{meta}}}"#));
        }
        if !params.is_empty() {
            members.push(params.to_owned());
        }
        let params = members.join(",");
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
        let mirrored = if method == "resources/read" { "uri" } else { "name" };
        let name = serde_json::from_str::<Value>(&body).map(|body| body["params"][mirrored].clone());
        let mut post = self.post(body);
        if self.version.is_modern() {
            post.headers.push(("mcp-method".into(), method.into()));
            if let Ok(Value::String(name)) = name {
                post.headers.push(("mcp-name".into(), name));
            }
        }
        post
    }

    pub(crate) fn call(&self, id: &str, tool: &str, arguments: &str) -> HttpRequest {
        self.call_with(id, tool, arguments, "")
    }

    pub(crate) fn call_with(&self, id: &str, tool: &str, arguments: &str, meta: &str) -> HttpRequest {
        let params = format!(r#""name":{},"arguments":{arguments}"#, Value::from(tool));
        self.request(id, "tools/call", &params, meta)
    }

    pub(crate) async fn send(&self, post: &HttpRequest) -> HttpResponse {
        let mut connection = Connection::open(self.address).await;
        connection.send(post.bytes()).await;
        connection
            .response()
            .await
            .unwrap_or_else(|_| panic!("the response broke off: {post:?}"))
    }

    pub(crate) async fn begin(&self, post: &HttpRequest) -> ResponseStream {
        self.send_only(post).await.incoming().await
    }

    /// Sends a request, and does not wait for the head of the response.
    pub(crate) async fn send_only(&self, post: &HttpRequest) -> Connection {
        let mut connection = Connection::open(self.address).await;
        connection.send(post.bytes()).await;
        connection
    }

    /// Calls a tool and returns the response, past progress.
    pub(crate) async fn tool(&self, tool: &str, arguments: Value) -> Value {
        let id = self.next_id();
        let incoming = self.begin(&self.call(&id, tool, &arguments.to_string())).await;
        let messages = incoming.messages().await.expect("a whole answer");
        serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
    }

    /// Calls a tool and returns the text of its result.
    pub(crate) async fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.tool(tool, arguments).await;
        let text = answer["result"]["content"][0]["text"].as_str();
        text.unwrap_or_else(|| panic!("no text: {answer}")).to_owned()
    }

    pub(crate) async fn call_method(&self, method: &str, params: &str) -> HttpResponse {
        self.send(&self.request(&self.next_id(), method, params, "")).await
    }

    /// Sends a request and returns the response, past progress. `params` is an object.
    pub(crate) async fn response_to(&self, method: &str, params: Value) -> Value {
        let params = params.to_string();
        let inside = &params[1..params.len() - 1];
        let post = self.request(&self.next_id(), method, inside, "");
        let messages = self.begin(&post).await.messages().await.expect("a whole answer");
        serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
    }

    /// Sends a request that succeeds, and returns its result.
    pub(crate) async fn result_of(&self, method: &str, params: Value) -> Value {
        let response = self.response_to(method, params).await;
        assert!(response["result"].is_object(), "{method}: {response}");
        response["result"].clone()
    }

    /// Returns the names on the first page of the list of tools.
    pub(crate) async fn tools(&self) -> Vec<String> {
        let answer = self.call_method("tools/list", "").await.json();
        let tools = answer["result"]["tools"].as_array();
        let tools = tools.unwrap_or_else(|| panic!("no list: {answer}"));
        tools
            .iter()
            .map(|tool| tool["name"].as_str().expect("a name").to_owned())
            .collect()
    }

    pub(crate) async fn notify(&self, method: &str, params: Value) -> HttpResponse {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params});
        self.send(&self.post(body.to_string())).await
    }

    /// Cancels the request of this raw id by a notification.
    pub(crate) async fn cancel(&self, id: &str) -> HttpResponse {
        let body = format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"test"}}}}"#
        );
        self.send(&self.post(body)).await
    }

    /// Opens the GET stream of the session.
    pub(crate) async fn stream(&self) -> ResponseStream {
        let mut post = self
            .post("")
            .with("accept", "text/event-stream")
            .without("content-type");
        post.verb = "GET";
        self.begin(&post).await
    }

    /// Resumes the stream after the event `last`.
    pub(crate) async fn resume(&self, last: &str) -> ResponseStream {
        let mut post = self
            .post("")
            .with("accept", "text/event-stream")
            .without("content-type")
            .and("last-event-id", last);
        post.verb = "GET";
        self.begin(&post).await
    }

    /// Opens `subscriptions/listen`, and returns its acknowledgement too. `filter` is the raw inside of `notifications`.
    pub(crate) async fn listen(&self, id: &str, filter: &str) -> (ResponseStream, Value) {
        let post = self.request(
            id,
            "subscriptions/listen",
            &format!(r#""notifications":{{{filter}}}"#),
            "",
        );
        let mut stream = self.begin(&post).await;
        assert_eq!(stream.head.status, 200);
        let first = stream.json().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
        (stream, first)
    }

    pub(crate) async fn delete(&self) -> HttpResponse {
        let mut post = self.post("");
        post.verb = "DELETE";
        self.send(&post).await
    }
}

impl HttpRequest {
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.and(name, value)
    }

    #[must_use]
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    #[must_use]
    pub(crate) fn verb(mut self, verb: &'static str) -> Self {
        self.verb = verb;
        self
    }

    #[must_use]
    pub(crate) fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.verb, self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.into_bytes()
    }

    /// Returns the whole request, with its length.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        if !self.body.is_empty() || self.verb == "POST" {
            bytes.extend_from_slice(format!("content-length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Returns the whole request, in chunks.
    pub(crate) fn chunked(&self, size: usize) -> Vec<u8> {
        let mut bytes = self.head();
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in self.body.chunks(size) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
        bytes
    }
}
