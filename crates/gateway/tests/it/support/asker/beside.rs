//! A legacy server that asks, tells and logs on the GET stream of the session of a call, as some SDKs do.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedSender, unbounded_channel},
};

use super::{Ask, Seen, answer, answer_text, answer_to};

/// Where it asks.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// Whether calls are answered in JSON, the head of which comes when they are over.
    pub(crate) json: bool,
    /// Whether nothing of its calls is said there.
    silent: bool,
    /// Whether there are no such streams.
    pub(crate) mute: AtomicBool,
    /// GET requests.
    pub(crate) gets: AtomicUsize,
    /// Sessions that were opened.
    pub(crate) sessions: AtomicUsize,
    streams: Mutex<HashMap<String, UnboundedSender<String>>>,
    /// The sessions of calls, as they were begun.
    called: Mutex<Vec<String>>,
}

impl Beside {
    pub(crate) fn in_json() -> Self {
        Self {
            json: true,
            ..Self::default()
        }
    }

    pub(super) fn silent() -> Self {
        Self {
            silent: true,
            ..Self::default()
        }
    }

    /// Whether a request is served here. Notes in which session a call is.
    pub(super) fn serves(&self, verb: &str, resumes: bool, body: &Value, session: &str) -> bool {
        let is_call = body["method"] == "tools/call";
        if is_call {
            self.called.lock().expect("no panic").push(session.into());
        }
        (verb == "get" && !resumes) || (is_call && !self.silent)
    }

    pub(super) fn session(&self) -> String {
        format!("b{}", self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// The sessions in which calls were made.
    pub(crate) fn called(&self) -> Vec<String> {
        self.called.lock().expect("no panic").clone()
    }

    /// Streams that are open.
    pub(crate) fn open(&self) -> usize {
        let mut streams = self.streams.lock().expect("no panic");
        streams.retain(|_, stream| !stream.is_closed());
        streams.len()
    }

    /// Says something in a session, if there is a stream.
    pub(crate) fn say(&self, session: &str, message: &Value) -> bool {
        let streams = self.streams.lock().expect("no panic");
        let stream = streams.get(session);
        stream.is_some_and(|stream| stream.send(format!("data: {message}\n\n")).is_ok())
    }

    /// Whether the connection goes on.
    pub(super) async fn listen(&self, stream: &mut TcpStream, session: &str) -> std::io::Result<bool> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        if self.mute.load(Ordering::Relaxed) {
            answer(stream, 405, "").await?;
            return Ok(true);
        }
        let (sender, mut said) = unbounded_channel();
        self.streams.lock().expect("no panic").insert(session.into(), sender);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            .await?;
        let mut byte = [0];
        loop {
            tokio::select! {
                text = said.recv() => match text {
                    Some(text) => stream.write_all(text.as_bytes()).await?,
                    None => return Ok(false),
                },
                _ = stream.read(&mut byte) => return Ok(false),
            }
        }
    }
}

/// Whether the connection goes on.
pub(super) async fn call(
    stream: &mut TcpStream,
    seen: &Seen,
    beside: &Beside,
    session: &str,
    body: &Value,
) -> std::io::Result<bool> {
    Seen::note(&seen.calls);
    let ask = Ask::of(body);
    if !beside.json {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            .await?;
    }
    if body["params"]["arguments"]["hold"] == true {
        let _ = stream.read(&mut [0]).await;
        return Ok(false);
    }
    let mut said = Vec::new();
    for round in 1..=ask.rounds {
        tell(beside, session, body, &ask, round);
        let mut ids = Vec::new();
        for _ in 0..ask.questions {
            let id = format!("q{}", seen.next.fetch_add(1, Ordering::Relaxed));
            seen.answers.lock().expect("no panic").insert(id.clone(), None);
            let question = json!({"jsonrpc": "2.0", "id": id, "method": ask.wire_method(), "params": ask.params()});
            if !beside.say(session, &question) {
                // What the SDKs do: it is lost, and the call waits.
                let _ = stream.read(&mut [0]).await;
                return Ok(false);
            }
            ids.push(id);
        }
        for id in ids {
            let Some(answer) = answer_to(Some(&mut *stream), seen, &id).await else {
                return Ok(false);
            };
            said.push(answer_text(&answer));
        }
    }
    tell(beside, session, body, &ask, ask.rounds + 1);
    let text = format!("{}:{}", ask.tag, said.join(","));
    let result = json!({"content": [{"type": "text", "text": text}]});
    let message = json!({"jsonrpc": "2.0", "id": body["id"], "result": result}).to_string();
    if beside.json {
        answer(stream, 200, &message).await?;
        return Ok(true);
    }
    stream.write_all(format!("data: {message}\n\n").as_bytes()).await?;
    Ok(false)
}

/// How far a call is, and what it logs.
fn tell(beside: &Beside, session: &str, body: &Value, ask: &Ask, progress: usize) {
    if !ask.progress {
        return;
    }
    let token = &body["params"]["_meta"]["progressToken"];
    let told = json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": token, "progress": progress}});
    beside.say(session, &told);
    for level in ["debug", "error"] {
        let logged = json!({"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": level, "data": ask.tag}});
        beside.say(session, &logged);
    }
}
