//! A client of the gateway, of either era, over plain HTTP.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result, bail, ensure};
use http::request::Builder;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{mirror, person};

const MODERN: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// How often one request is answered with questions.
const ROUNDS: usize = 10;

/// Which era it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
}

/// A client that has introduced itself.
pub(crate) struct Front {
    line: Arc<Line>,
    next_id: AtomicU64,
    /// What arguments are repeated in headers, by tool.
    mirrors: Mutex<HashMap<String, Value>>,
    /// Listens to what is said outside of calls.
    listening: Option<JoinHandle<Result<Value>>>,
}

/// How a client reaches the gateway.
struct Line {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
    era: Era,
    session: Option<String>,
}

impl Front {
    /// Asks what is there, or shakes hands.
    pub(crate) async fn connect(url: &str, token: &str, era: Era) -> Result<Self> {
        let mut line = Line {
            http: Client::builder(TokioExecutor::new()).build_http(),
            url: url.to_owned(),
            token: token.to_owned(),
            era,
            session: None,
        };
        if era == Era::Legacy {
            line.shake_hands().await?;
        }
        let mut front = Self {
            line: Arc::new(line),
            next_id: AtomicU64::new(1),
            mirrors: Mutex::default(),
            listening: None,
        };
        match era {
            Era::Modern => drop(front.request("server/discover", json!({})).await?),
            Era::Legacy => front.listening = front.line.listen().await?,
        }
        Ok(front)
    }

    /// All items of a list.
    pub(crate) async fn list(&self, method: &str, member: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut params = json!({});
        loop {
            let mut page = self.request(method, params).await?;
            if let Value::Array(more) = page[member].take() {
                items.extend(more);
            }
            match page["nextCursor"].as_str() {
                Some(cursor) => params = json!({"cursor": cursor}),
                None => return Ok(items),
            }
        }
    }

    /// The tools, whose arguments are mirrored from now on as they say.
    pub(crate) async fn tools(&self) -> Result<Vec<Value>> {
        let tools = self.list("tools/list", "tools").await?;
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in &tools {
            let name = tool["name"].as_str().context("a tool without a name")?;
            mirrors.insert(name.to_owned(), tool["inputSchema"].clone());
        }
        Ok(tools)
    }

    /// Calls a tool, and gives its result.
    pub(crate) async fn call(&self, tool: &str, arguments: &Value) -> Result<Value> {
        let result = self.request("tools/call", call(tool, arguments)).await?;
        ensure!(result["isError"] != true, "{tool} failed: {}", result["content"]);
        Ok(result)
    }

    /// A request, and the result that answers it. Questions on the way are answered.
    pub(crate) async fn request(&self, method: &str, params: Value) -> Result<Value> {
        let mut result = self.round(method, &params).await?;
        for _ in 0..ROUNDS {
            if result["resultType"] != "input_required" {
                return Ok(result);
            }
            result = self.round(method, &answered(&params, &result)).await?;
        }
        bail!("{method}: more questions than {ROUNDS}")
    }

    /// A request and its result, which may be questions where the client is a modern one.
    pub(crate) async fn round(&self, method: &str, params: &Value) -> Result<Value> {
        let mut params = params.clone();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut headers = Vec::new();
        if self.line.era == Era::Modern {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": person::capabilities(),
                "io.modelcontextprotocol/clientInfo": person::client_info(),
            });
            headers.push(("mcp-method".to_owned(), method.to_owned()));
            headers.extend(self.mirrored(method, &params));
        }
        let body = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = self.line.post(&body, &headers).await?;
        let answer = self.line.answer(response).await.with_context(|| method.to_owned())?;
        ensure!(answer["id"] == id, "{method}: an answer to something else");
        result_of(answer).with_context(|| method.to_owned())
    }

    fn mirrored(&self, method: &str, params: &Value) -> Vec<(String, String)> {
        let mut headers = mirror::name(method, params);
        if method == "tools/call" {
            let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            let schema = params["name"].as_str().and_then(|name| mirrors.get(name));
            headers.extend(
                schema
                    .into_iter()
                    .flat_map(|schema| mirror::params(schema, &params["arguments"])),
            );
        }
        headers
    }
}

impl Line {
    async fn shake_hands(&mut self) -> Result<()> {
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": person::capabilities(),
            "clientInfo": person::client_info(),
        });
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let response = self.post(&hello, &[]).await?;
        let session = response.headers().get("mcp-session-id").cloned();
        result_of(self.answer(response).await?)?;
        self.session = session.map(|id| id.to_str().map(str::to_owned)).transpose()?;
        self.tell(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await
    }

    /// Opens the stream of what is said and asked outside of calls, if there is one (2025-11-25, basic/transports).
    async fn listen(self: &Arc<Self>) -> Result<Option<JoinHandle<Result<Value>>>> {
        let request = self
            .request(Request::get(&self.url))
            .header(header::ACCEPT, "text/event-stream");
        let response = self.http.request(request.body(Full::default())?).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::METHOD_NOT_ALLOWED => return Ok(None),
            status => bail!("HTTP {status} to a client that wants to listen"),
        }
        let line = self.clone();
        Ok(Some(tokio::spawn(async move { line.answer(response).await })))
    }

    /// Sends something that wants no answer.
    async fn tell(&self, message: &Value) -> Result<()> {
        let response = self.post(message, &[]).await?;
        let status = response.status();
        ensure!(status == StatusCode::ACCEPTED, "HTTP {status} to what wants no answer");
        Ok(())
    }

    async fn post(&self, message: &Value, headers: &[(String, String)]) -> Result<Response<Incoming>> {
        let mut request = self
            .request(Request::post(&self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::from(message.to_string()))?;
        Ok(self.http.request(request).await?)
    }

    /// What every request has.
    fn request(&self, request: Builder) -> Builder {
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        match (self.era, &self.session) {
            (Era::Modern, _) => request.header("mcp-protocol-version", MODERN),
            (Era::Legacy, Some(session)) => request
                .header("mcp-protocol-version", LEGACY)
                .header("mcp-session-id", session),
            (Era::Legacy, None) => request,
        }
    }

    /// The message that answers. What a server asks before it is answered at once (2025-11-25, client/elicitation).
    async fn answer(&self, response: Response<Incoming>) -> Result<Value> {
        let (head, mut body) = response.into_parts();
        // Whatever a server says of our credential is for the gateway to solve.
        ensure!(
            head.status != StatusCode::UNAUTHORIZED && head.status != StatusCode::FORBIDDEN,
            "the gateway passes on a refusal that was meant for itself: HTTP {}",
            head.status
        );
        let kind = head.headers.get(header::CONTENT_TYPE);
        let is_stream = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        if !is_stream {
            let body = body.collect().await?.to_bytes();
            return serde_json::from_slice(&body).with_context(|| format!("HTTP {} and no message", head.status));
        }
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            text.extend_from_slice(&data);
            while let Some(message) = next_message(&mut text)? {
                match (&message["method"], &message["id"]) {
                    (Value::Null, _) => return Ok(message),
                    (Value::String(_), Value::Null) => {}
                    (Value::String(method), id) => {
                        let result = person::answer(method, &message["params"]);
                        self.tell(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
                            .await?;
                    }
                    _ => bail!("{message} is no message"),
                }
            }
        }
        bail!("the stream ended without an answer")
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// The params of a call.
pub(crate) fn call(tool: &str, arguments: &Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// The same request once more, with answers to what its result asks and with the state that came with it, if any.
pub(crate) fn answered(params: &Value, result: &Value) -> Value {
    let mut params = params.clone();
    if let Some(questions) = result["inputRequests"].as_object() {
        let answer =
            |question: &Value| person::answer(question["method"].as_str().unwrap_or_default(), &question["params"]);
        params["inputResponses"] = questions
            .iter()
            .map(|(key, question)| (key.clone(), answer(question)))
            .collect();
    }
    if let Some(state) = result.get("requestState") {
        params["requestState"] = state.clone();
    }
    params
}

/// Takes the next event with data off the text.
fn next_message(text: &mut Vec<u8>) -> Result<Option<Value>> {
    while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
        let event: Vec<u8> = text.drain(..end + 2).collect();
        let event = String::from_utf8(event)?;
        let data: Vec<&str> = event.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        let data = data.join("\n");
        if !data.trim().is_empty() {
            return Ok(Some(serde_json::from_str(&data)?));
        }
    }
    Ok(None)
}

fn result_of(mut answer: Value) -> Result<Value> {
    match answer.get("error") {
        Some(error) => bail!("{error}"),
        None => Ok(answer["result"].take()),
    }
}
