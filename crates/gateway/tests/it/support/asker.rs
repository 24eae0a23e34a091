//! Servers that ask their clients: of either era, over HTTP, with every step seen.
//!
//! The tool `ask` takes `{"tag", "questions", "rounds", "method"}` and answers with its tag and what it was answered.

pub(crate) mod beside;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use self::beside::Beside;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};

/// A server that asks.
pub(crate) struct Asker {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    serving: JoinHandle<()>,
}

/// What it has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    modern: bool,
    /// Whether streams have event ids, and can be taken up again.
    resumable: bool,
    next: AtomicUsize,
    /// Calls of the tool that were begun, anew.
    pub(crate) calls: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    /// Sessions that were ended.
    pub(crate) ended: AtomicUsize,
    /// Answers to what was not asked, or was answered before.
    pub(crate) odd: AtomicUsize,
    /// GET requests with a `Last-Event-ID`.
    pub(crate) resumed: AtomicUsize,
    /// What clients said that they can do, with each handshake or call.
    pub(crate) capabilities: Mutex<Vec<Value>>,
    answers: Mutex<HashMap<String, Option<Value>>>,
    /// Streams by the id of their call, with what was written to them.
    streams: Mutex<HashMap<String, Vec<String>>>,
    /// Where it asks beside its calls, if it does.
    pub(crate) beside: Option<Beside>,
    changed: Notify,
}

impl Asker {
    pub(crate) async fn legacy() -> Self {
        Self::start(Seen::default()).await
    }

    /// A legacy server whose streams can be taken up again.
    pub(crate) async fn resumable() -> Self {
        Self::start(Seen {
            resumable: true,
            ..Seen::default()
        })
        .await
    }

    pub(crate) async fn modern() -> Self {
        Self::start(Seen {
            modern: true,
            ..Seen::default()
        })
        .await
    }

    /// A legacy server that asks on the GET streams of its sessions.
    pub(crate) async fn beside(beside: Beside) -> Self {
        Self::start(Seen {
            beside: Some(beside),
            ..Seen::default()
        })
        .await
    }

    /// A legacy server that has such streams, and asks on those of its calls, which can be taken up again.
    pub(crate) async fn resumable_with_streams() -> Self {
        Self::start(Seen {
            resumable: true,
            beside: Some(Beside::silent()),
            ..Seen::default()
        })
        .await
    }

    async fn start(seen: Seen) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(seen);
        let shared = seen.clone();
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let seen = shared.clone();
                connections.spawn(async move {
                    let _ = connection(stream, &seen).await;
                });
            }
        });
        Self { address, seen, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Seen {
    pub(crate) fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }

    pub(crate) fn is_modern(&self) -> bool {
        self.modern
    }

    /// Waits for an answer to what is asked by hand.
    pub(crate) fn expect(&self, id: &str) {
        self.answers.lock().expect("no panic").insert(id.into(), None);
    }

    pub(crate) fn answer(&self, id: &str) -> Option<Value> {
        self.answers.lock().expect("no panic").get(id).cloned().flatten()
    }

    fn note(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one request asks for.
struct Ask {
    tag: String,
    questions: usize,
    rounds: usize,
    method: String,
    /// Whether a progress notification comes first.
    progress: bool,
    /// Whether the stream is closed before the answer, to be taken up again.
    polls: bool,
}

impl Ask {
    fn of(body: &Value) -> Self {
        let arguments = &body["params"]["arguments"];
        let number = |name: &str| usize::try_from(arguments[name].as_u64().unwrap_or(1)).expect("small");
        Self {
            tag: arguments["tag"].as_str().unwrap_or_default().to_owned(),
            questions: number("questions"),
            rounds: number("rounds"),
            method: arguments["method"].as_str().unwrap_or("elicitation/create").to_owned(),
            progress: arguments["progress"] == true,
            polls: arguments["polls"] == true,
        }
    }

    fn params(&self) -> Value {
        match self.method.as_str() {
            "elicitation/create" => json!({
                "message": self.tag,
                "requestedSchema": {"type": "object", "properties": {"tag": {"type": "string"}}},
            }),
            "sampling/createMessage" => json!({
                "messages": [{"role": "user", "content": {"type": "text", "text": self.tag}}], "maxTokens": 10,
            }),
            "url" => json!({
                "mode": "url", "message": self.tag, "url": "https://example.com/visit", "elicitationId": "e-1",
            }),
            _ => json!({}),
        }
    }

    fn wire_method(&self) -> &str {
        if self.method == "url" {
            "elicitation/create"
        } else {
            &self.method
        }
    }
}

async fn connection(mut stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let field = |name: &str| {
            let mut lines = head.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
        };
        let length: usize = field("content-length:").and_then(|text| text.parse().ok()).unwrap_or(0);
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let body: Value = serde_json::from_slice(&buffer[end..end + length]).unwrap_or_default();
        let (verb, last) = (
            head.split(' ').next().unwrap_or_default().to_owned(),
            field("last-event-id:"),
        );
        let session = field("mcp-session-id:").unwrap_or_default();
        buffer.drain(..end + length);
        if let Some(beside) = &seen.beside
            && beside.serves(&verb, last.is_some(), &body, &session)
        {
            let goes_on = match verb.as_str() {
                "get" => beside.listen(&mut stream, &session).await?,
                _ => beside::call(&mut stream, seen, beside, &session, &body).await?,
            };
            if goes_on {
                continue;
            }
            return Ok(());
        }
        match (verb.as_str(), last) {
            ("get", Some(last)) => return resume(&mut stream, seen, &last).await,
            ("get", None) => answer(&mut stream, 405, "").await?,
            ("delete", _) => {
                Seen::note(&seen.ended);
                answer(&mut stream, 204, "").await?;
            }
            _ => {
                if !serve(&mut stream, seen, &body).await? {
                    return Ok(());
                }
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    answer_in(stream, status, "asker", body).await
}

async fn answer_in(stream: &mut TcpStream, status: u16, session: &str, body: &str) -> std::io::Result<()> {
    let text = format!(
        "HTTP/1.1 {status} Planned\r\ncontent-type: application/json\r\nmcp-session-id: {session}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await
}

/// Serves one request; whether the connection goes on.
async fn serve(stream: &mut TcpStream, seen: &Seen, body: &Value) -> std::io::Result<bool> {
    let result = |result: Value| json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string();
    let tool = json!({"name": "ask", "inputSchema": {"type": "object"}});
    match body["method"].as_str() {
        None => {
            let id = body["id"].as_str().unwrap_or_default().to_owned();
            let outcome = body.get("result").unwrap_or_else(|| &body["error"]);
            match seen.answers.lock().expect("no panic").get_mut(&id) {
                Some(open @ None) => *open = Some(outcome.clone()),
                _ => Seen::note(&seen.odd),
            }
            seen.changed.notify_waiters();
            answer(stream, 202, "").await?;
        }
        Some("server/discover") if seen.modern => {
            let discovered = json!({"resultType": "complete", "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"});
            answer(stream, 200, &result(discovered)).await?;
        }
        Some("initialize") if !seen.modern => {
            seen.capabilities
                .lock()
                .expect("no panic")
                .push(body["params"]["capabilities"].clone());
            let hello = json!({"protocolVersion": body["params"]["protocolVersion"], "capabilities": {"tools": {}},
                "serverInfo": {"name": "asker", "version": "1"}});
            let session = seen.beside.as_ref().map(Beside::session);
            answer_in(stream, 200, session.as_deref().unwrap_or("asker"), &result(hello)).await?;
        }
        Some("tools/list") => {
            let list = json!({"resultType": "complete", "tools": [tool], "ttlMs": 0, "cacheScope": "private"});
            answer(stream, 200, &result(list)).await?;
        }
        Some("notifications/cancelled") => {
            Seen::note(&seen.cancelled);
            answer(stream, 202, "").await?;
        }
        Some(method) if method.starts_with("notifications/") => answer(stream, 202, "").await?,
        Some("tools/call") if seen.modern => {
            let answered = modern_call(seen, body);
            answer(stream, 200, &result(answered)).await?;
        }
        Some("tools/call") if body["params"]["arguments"]["method"] == "visit-first" => {
            let error = json!({"code": -32042, "message": "visit", "data": {"elicitations": [
                {"mode": "url", "elicitationId": "e", "url": "https://example.com/visit", "message": "please"}]}});
            let visited = Seen::count(&seen.calls) > 0;
            Seen::note(&seen.calls);
            let text = match visited {
                true => result(json!({"content": [{"type": "text", "text": "visited"}]})),
                false => json!({"jsonrpc": "2.0", "id": body["id"], "error": error}).to_string(),
            };
            answer(stream, 200, &text).await?;
        }
        Some("tools/call") => {
            legacy_call(stream, seen, body).await?;
            return Ok(false);
        }
        Some(_) => {
            let error = json!({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32601, "message": "no"}});
            answer(stream, if seen.modern { 404 } else { 200 }, &error.to_string()).await?;
        }
    }
    Ok(true)
}

fn modern_call(seen: &Seen, body: &Value) -> Value {
    let ask = Ask::of(body);
    let params = &body["params"];
    let declared = params["_meta"]["io.modelcontextprotocol/clientCapabilities"].clone();
    seen.capabilities.lock().expect("no panic").push(declared);
    let (round, mut said) = match params["requestState"].as_str() {
        None => {
            Seen::note(&seen.calls);
            (0, Vec::new())
        }
        Some(state) => {
            let state: Value = serde_json::from_str(state).expect("our own state");
            assert_eq!(state["tag"], ask.tag, "the state of another call");
            let said: Vec<String> = serde_json::from_value(state["said"].clone()).expect("texts");
            (state["round"].as_u64().expect("a round") as usize, said)
        }
    };
    if round > 0 {
        for question in 0..ask.questions {
            let answer = &params["inputResponses"][format!("{round}-{question}")];
            said.push(answer_text(answer));
        }
    }
    if round == ask.rounds {
        let text = format!("{}:{}", ask.tag, said.join(","));
        return json!({"resultType": "complete", "content": [{"type": "text", "text": text}]});
    }
    let round = round + 1;
    let requests: serde_json::Map<String, Value> = (0..ask.questions)
        .map(|question| {
            let request = json!({"method": ask.wire_method(), "params": ask.params()});
            (format!("{round}-{question}"), request)
        })
        .collect();
    let state = json!({"tag": ask.tag, "round": round, "said": said}).to_string();
    json!({"resultType": "input_required", "inputRequests": requests, "requestState": state})
}

fn answer_text(answer: &Value) -> String {
    match answer["content"]["tag"].as_str() {
        Some(tag) => tag.to_owned(),
        None => answer["action"]
            .as_str()
            .map_or_else(|| answer.to_string(), str::to_owned),
    }
}

/// Writes an event of a stream, and notes it for who takes the stream up.
async fn event(stream: &mut Option<&mut TcpStream>, seen: &Seen, call: &str, data: &str) {
    let at = {
        let mut streams = seen.streams.lock().expect("no panic");
        let events = streams.entry(call.to_owned()).or_default();
        events.push(data.to_owned());
        events.len()
    };
    seen.changed.notify_waiters();
    let id = if seen.resumable {
        format!("id: {call}/{at}\n")
    } else {
        String::new()
    };
    let text = format!("{id}data: {data}\n\n");
    if let Some(open) = stream
        && open.write_all(text.as_bytes()).await.is_err()
    {
        *stream = None;
    }
}

async fn legacy_call(stream: &mut TcpStream, seen: &Seen, body: &Value) -> std::io::Result<()> {
    Seen::note(&seen.calls);
    let ask = Ask::of(body);
    let call = format!("call{}", seen.next.fetch_add(1, Ordering::Relaxed));
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        .await?;
    let mut open = Some(stream);
    if seen.resumable {
        event(&mut open, seen, &call, "").await;
    }
    if ask.progress {
        let token = &body["params"]["_meta"]["progressToken"];
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 1}});
        event(&mut open, seen, &call, &told.to_string()).await;
    }
    if ask.polls
        && let Some(stream) = open.take()
    {
        stream.write_all(b"retry: 20\n\n").await?;
        stream.shutdown().await?;
    }
    let mut said = Vec::new();
    for _ in 0..ask.rounds {
        let mut ids = Vec::new();
        for _ in 0..ask.questions {
            let id = format!("q{}", seen.next.fetch_add(1, Ordering::Relaxed));
            seen.answers.lock().expect("no panic").insert(id.clone(), None);
            let question = json!({"jsonrpc": "2.0", "id": id, "method": ask.wire_method(), "params": ask.params()});
            event(&mut open, seen, &call, &question.to_string()).await;
            ids.push(id);
        }
        for id in ids {
            let Some(answer) = answer_to(open.as_deref_mut(), seen, &id).await else {
                return Ok(());
            };
            said.push(answer_text(&answer));
        }
    }
    let text = format!("{}:{}", ask.tag, said.join(","));
    if ask.progress {
        let token = &body["params"]["_meta"]["progressToken"];
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress",
            "params": {"progressToken": token, "progress": 2}});
        event(&mut open, seen, &call, &told.to_string()).await;
    }
    let result = json!({"content": [{"type": "text", "text": text}]});
    let message = json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string();
    event(&mut open, seen, &call, &message).await;
    Ok(())
}

/// Waits for an answer; `None` if the client has closed a stream that cannot be taken up again.
async fn answer_to(mut stream: Option<&mut TcpStream>, seen: &Seen, id: &str) -> Option<Value> {
    loop {
        let changed = seen.changed.notified();
        if let Some(Some(answer)) = seen.answers.lock().expect("no panic").get(id) {
            return Some(answer.clone());
        }
        let mut byte = [0];
        let hung_up = async {
            match &mut stream {
                Some(stream) => stream.read(&mut byte).await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = changed => {}
            _ = hung_up => {
                if !seen.resumable {
                    return None;
                }
                stream = None;
            }
        }
    }
}

async fn resume(stream: &mut TcpStream, seen: &Seen, last: &str) -> std::io::Result<()> {
    Seen::note(&seen.resumed);
    let (call, at) = last.split_once('/').expect("an id of ours");
    let mut at: usize = at.parse().expect("a number");
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        .await?;
    loop {
        let changed = seen.changed.notified();
        let next = seen.streams.lock().expect("no panic")[call].get(at).cloned();
        let Some(data) = next else {
            changed.await;
            continue;
        };
        at += 1;
        stream
            .write_all(format!("id: {call}/{at}\ndata: {data}\n\n").as_bytes())
            .await?;
        if data.contains("\"result\"") {
            return Ok(());
        }
    }
}
