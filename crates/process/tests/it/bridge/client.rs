//! A plain HTTP client: one connection for each request.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::AbortHandle, time::timeout};

use super::process::TOKEN;

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A client of a bridge.
#[derive(Clone)]
pub(super) struct Client {
    port: u16,
    pub(super) session: Option<String>,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct RpcResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// An answer that comes as events. Dropping it closes the connection.
pub(super) struct Events {
    pub(super) status: StatusCode,
    body: Incoming,
    text: Vec<u8>,
    ready: VecDeque<Value>,
    connection: AbortHandle,
}

impl RpcResponse {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The last message, be it in a stream or alone.
    pub(super) fn message(&self) -> Value {
        if self
            .headers
            .get("content-type")
            .is_some_and(|kind| kind == "text/event-stream")
        {
            let text = std::str::from_utf8(&self.body).unwrap();
            let data = text.lines().rev().find_map(|line| line.strip_prefix("data: "));
            return serde_json::from_str(data.unwrap()).unwrap();
        }
        self.json()
    }
}

pub(super) fn modern(method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({"elicitation": {}, "sampling": {}});
    json!({"jsonrpc": "2.0", "id": "m", "method": method, "params": params})
}

impl Client {
    pub(super) fn new(port: u16) -> Self {
        Self { port, session: None }
    }

    /// Opens a session, able to be asked everything.
    pub(super) async fn initialize(&mut self) -> Value {
        let capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}});
        let answer = self
            .post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        self.session = Some(answer.headers["mcp-session-id"].to_str().unwrap().to_owned());
        let initialized = self
            .post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        assert_eq!((initialized.status.as_u16(), initialized.body.len()), (202, 0));
        answer.json()["result"].clone()
    }

    /// Posts a message and waits for all of the answer.
    pub(super) async fn post(&self, message: &Value) -> RpcResponse {
        self.try_post(message).await.unwrap()
    }

    pub(super) async fn try_post(&self, message: &Value) -> Result<RpcResponse, Failed> {
        let (response, _) = send(self.port, self.request("POST", Some(message))).await?;
        whole(response).await
    }

    /// Calls a tool in the session. The result, or the error.
    pub(super) async fn tool(&self, id: u64, name: &str, arguments: Value) -> RpcResponse {
        self.post(&call(id, name, arguments)).await
    }

    /// Posts a message whose answer is read event by event.
    pub(super) async fn stream(&self, message: &Value) -> Events {
        self.events(self.request("POST", Some(message))).await
    }

    /// Opens the stream of what belongs to no call.
    pub(super) async fn listen(&self) -> Events {
        self.events(self.request("GET", None)).await
    }

    pub(super) async fn delete(&self) -> RpcResponse {
        let (response, _) = send(self.port, self.request("DELETE", None)).await.unwrap();
        whole(response).await.unwrap()
    }

    async fn events(&self, request: Request<Full<Bytes>>) -> Events {
        let (response, connection) = send(self.port, request).await.unwrap();
        Events {
            status: response.status(),
            body: response.into_body(),
            text: Vec::new(),
            ready: VecDeque::new(),
            connection,
        }
    }

    pub(super) fn request(&self, verb: &str, message: Option<&Value>) -> Request<Full<Bytes>> {
        let mut request = Request::builder()
            .method(verb)
            .uri("/mcp")
            .header("host", "bridge")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request
                .header("mcp-session-id", session)
                .header("mcp-protocol-version", "2025-11-25");
        }
        let Some(message) = message else {
            return request.body(Full::default()).unwrap();
        };
        request = request.header("content-type", "application/json");
        if message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string() {
            request = request
                .header("mcp-protocol-version", "2026-07-28")
                .header("mcp-method", message["method"].as_str().unwrap());
            if let Some(name) = message["params"]["name"].as_str() {
                request = request.header("mcp-name", name);
            }
        }
        request.body(Full::from(message.to_string())).unwrap()
    }
}

pub(super) fn call(id: u64, name: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": name, "arguments": arguments}})
}

pub(super) async fn get(port: u16, path: &str) -> Result<RpcResponse, Failed> {
    let request = Request::get(path).header("host", "bridge").body(Full::default())?;
    whole(send(port, request).await?.0).await
}

pub(super) async fn send(
    port: u16,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, AbortHandle), Failed> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    Ok((response, connection.abort_handle()))
}

pub(super) async fn whole(response: Response<Incoming>) -> Result<RpcResponse, Failed> {
    let (head, body) = response.into_parts();
    Ok(RpcResponse {
        status: head.status,
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
    })
}

impl Events {
    /// The next message. `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let frame = timeout(Duration::from_secs(20), self.body.frame())
                .await
                .expect("nothing comes")?;
            self.text.extend_from_slice(frame.ok()?.data_ref()?);
            while let Some(end) = self.text.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                let text = String::from_utf8(event).unwrap();
                let data = text.lines().find_map(|line| line.strip_prefix("data: "));
                self.ready
                    .extend(data.map(|data| serde_json::from_str::<Value>(data).unwrap()));
            }
        }
    }

    /// All messages that are still to come.
    pub(super) async fn rest(mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(message) = self.next().await {
            messages.push(message);
        }
        messages
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}
