//! Whom a request is sent to, and what of the answer is compared.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::ask::Ask;
use crate::server::Target;

const LIMIT: Duration = Duration::from_secs(20);
const LARGE: usize = 1 << 20;

/// The server itself, or the gateway before it.
#[derive(Debug)]
pub(super) struct Side {
    address: String,
    path: String,
    token: String,
    session: String,
}

/// What is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The media type of the body; none where there is no body.
    pub(super) kind: Option<String>,
    /// Whether there is a session id, and a challenge to authenticate.
    pub(super) session: bool,
    pub(super) challenge: bool,
    /// The JSON-RPC messages, without what differs by its nature.
    pub(super) messages: Vec<Value>,
}

impl Side {
    pub(super) async fn open(target: &Target) -> Result<Self> {
        let Target::Http { url, token } = target else {
            anyhow::bail!("{target:?} is not reached over HTTP");
        };
        let rest = url.strip_prefix("http://").context("not plain HTTP")?;
        let (address, path) = rest.split_once('/').context("no path")?;
        let mut side = Self {
            address: address.to_owned(),
            path: format!("/{path}"),
            token: token.clone(),
            session: String::new(),
        };
        side.session = side.new_session().await?;
        // Who has just been started may not know yet what it has.
        side.answer(&Ask::legacy("know", "tools/list", json!({}))).await?;
        Ok(side)
    }

    async fn new_session(&self) -> Result<String> {
        let opened = self.send(&Ask::handshake("open", super::ask::LEGACY), "").await?;
        let session = opened.headers().get("mcp-session-id").context("no session")?;
        let session = session.to_str()?.to_owned();
        let initialized = Ask::message(
            "go on",
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        );
        let status = self.send(&initialized, &session).await?.status();
        ensure!(status == 202, "a session does not begin: {status}");
        Ok(session)
    }

    /// Sends a request; what came back, or of the last one if it took several.
    pub(super) async fn answer(&self, ask: &Ask) -> Result<Answer> {
        let session = if ask.alone {
            self.new_session().await?
        } else {
            self.session.clone()
        };
        if ask.twice {
            self.send(ask, &session).await?;
        }
        let (answer, raw) = self.read(self.send(ask, &session).await?, ask).await?;
        match raw.last().and_then(|last| ask.retry(&last["result"])) {
            None => Ok(answer),
            Some(retry) => Ok(self.read(self.send(&retry, &session).await?, &retry).await?.0),
        }
    }

    async fn send(&self, ask: &Ask, session: &str) -> Result<Response<Incoming>> {
        let stream = TcpStream::connect(&self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(Method::from_bytes(ask.verb.as_bytes())?)
            .uri(&self.path);
        for (name, value) in &ask.headers {
            request = request.header(*name, Ask::value(value, session));
        }
        if !ask.headers.iter().any(|(name, _)| *name == "host") {
            request = request.header(header::HOST, &self.address);
        }
        if !self.token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        }
        // Who announces too much is answered before it is sent, and cannot be heard then: what is large comes in chunks.
        let body = Full::new(Bytes::from(ask.body.clone()));
        let body = match ask.body.len() {
            LARGE.. => Either::Left(body.map_frame(|frame| frame)),
            _ => Either::Right(body),
        };
        let request = request.body(body)?;
        let answer = tokio::time::timeout(LIMIT, sender.send_request(request)).await;
        answer
            .with_context(|| format!("no answer to {:?}", ask.name))?
            .map_err(Into::into)
    }

    /// The answer, and its messages as they came.
    async fn read(&self, response: Response<Incoming>, ask: &Ask) -> Result<(Answer, Vec<Value>)> {
        let (head, mut body) = response.into_parts();
        let kind = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind.map(|kind| kind.split(';').next().unwrap_or(kind).to_owned());
        let is_stream = kind.as_deref() == Some("text/event-stream");
        let mut text = Vec::new();
        let mut messages = Vec::new();
        let reading = async {
            while messages.len() < ask.take
                && let Some(frame) = body.frame().await
            {
                if let Ok(data) = frame?.into_data() {
                    text.extend_from_slice(&data);
                }
                messages = parse(&text, is_stream);
            }
            anyhow::Ok(())
        };
        if ask.verb == "POST" {
            let read = tokio::time::timeout(LIMIT, reading).await;
            read.with_context(|| format!("the answer to {:?} does not end", ask.name))??;
        }
        let answer = Answer {
            status: head.status.as_u16(),
            kind: kind.filter(|_| is_stream || !text.is_empty()),
            session: head.headers.contains_key("mcp-session-id"),
            challenge: head.headers.contains_key(header::WWW_AUTHENTICATE),
            messages: messages.iter().map(comparable).collect(),
        };
        Ok((answer, messages))
    }
}

fn parse(text: &[u8], is_stream: bool) -> Vec<Value> {
    if !is_stream {
        return serde_json::from_slice(text).into_iter().collect();
    }
    let text = String::from_utf8_lossy(text);
    // What comes after the last empty line is not complete yet.
    let (complete, _) = text.rsplit_once("\n\n").unwrap_or_default();
    let data = complete.lines().filter_map(|line| line.strip_prefix("data:"));
    data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect()
}

/// A message without what differs by its nature: who answers, in which words, and what is sealed.
fn comparable(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(error) = message.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("message");
    }
    if let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) {
        result.remove("serverInfo");
        if let Some(meta) = result.get_mut("_meta").and_then(Value::as_object_mut) {
            meta.remove("io.modelcontextprotocol/serverInfo");
        }
        if result.get("_meta").is_some_and(|meta| *meta == json!({})) {
            result.remove("_meta");
        }
        if let Some(state) = result.get_mut("requestState") {
            *state = "sealed".into();
        }
    }
    sort(&mut message["result"]);
    if message["result"].is_null()
        && let Some(message) = message.as_object_mut()
    {
        message.remove("result");
    }
    message
}

/// Lists have no order that both must have: they are compared by name.
fn sort(result: &mut Value) {
    for list in ["tools", "prompts", "resources", "resourceTemplates"] {
        if let Some(entries) = result.get_mut(list).and_then(Value::as_array_mut) {
            entries.sort_by_key(|entry| entry["name"].to_string());
        }
    }
}
