//! A server whose every answer is written by the test, for what the fixtures do not do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc::UnboundedReceiver,
    task::JoinHandle,
};

/// One request, as a script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) verb: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Asked {
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    /// The raw id.
    pub(crate) fn id(&self) -> String {
        self.body["id"].to_string()
    }
}

/// What a script does with a request.
pub(crate) enum Act {
    /// Status, content type and body, with a length.
    Answer(u16, &'static str, String),
    /// A stream of events: each text as one piece, until the sender is dropped.
    Stream(UnboundedReceiver<String>),
    /// These bytes, then the end of the connection.
    RawThenClose(Vec<u8>),
}

/// A scripted server.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    serving: JoinHandle<()>,
}

impl Script {
    pub(crate) async fn start(script: impl Fn(&Asked) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (script, noted) = (Arc::new(script), asked.clone());
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, noted) = (script.clone(), noted.clone());
                connections.spawn(async move {
                    let _ = connection(stream, &*script, &noted).await;
                });
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    pub(crate) fn asked_for(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method() == method).count()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn connection(
    mut stream: TcpStream,
    script: &(impl Fn(&Asked) -> Act + Send + Sync),
    noted: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
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
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok())
            .unwrap_or_default();
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
        }
        let asked = Asked {
            verb: head.split(' ').next().unwrap_or_default().to_ascii_uppercase(),
            body: serde_json::from_slice(&buffer[end..end + length]).unwrap_or_default(),
            head,
        };
        buffer.drain(..end + length);
        noted.lock().expect("no panic").push(asked.clone());
        match script(&asked) {
            Act::Answer(status, kind, body) => {
                let head = format!(
                    "HTTP/1.1 {status} Planned\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(body.as_bytes()).await?;
            }
            Act::Stream(mut pieces) => {
                let head =
                    "HTTP/1.1 200 Planned\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                loop {
                    tokio::select! {
                        piece = pieces.recv() => {
                            let piece = piece.unwrap_or_default();
                            stream.write_all(format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes()).await?;
                            if piece.is_empty() {
                                break;
                            }
                        }
                        // The client says nothing more: this is its end.
                        read = stream.read_buf(&mut buffer) => {
                            if read? == 0 {
                                return Ok(());
                            }
                        }
                    }
                }
            }
            Act::RawThenClose(bytes) => {
                stream.write_all(&bytes).await?;
                return stream.shutdown().await;
            }
        }
    }
}

/// What a modern server with the one tool `t` answers, apart from calls of it.
pub(crate) fn modern(asked: &Asked) -> Option<Act> {
    let result = match asked.method() {
        "server/discover" => {
            r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#
        }
        "tools/list" => {
            r#"{"resultType":"complete","tools":[{"name":"t","inputSchema":{"type":"object"}}],"ttlMs":0,"cacheScope":"private"}"#
        }
        _ => return None,
    };
    Some(answer(asked, result))
}

/// What a legacy server without sessions and with the one tool `t` answers, apart from calls of it.
pub(crate) fn legacy(asked: &Asked) -> Option<Act> {
    let result = match asked.method() {
        "initialize" => {
            r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}"#
        }
        "tools/list" => r#"{"tools":[{"name":"t","inputSchema":{"type":"object"}}]}"#,
        method if method.starts_with("notifications/") => return Some(Act::Answer(202, "text/plain", String::new())),
        _ => return None,
    };
    Some(answer(asked, result))
}

pub(crate) fn answer(asked: &Asked, result: &str) -> Act {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, asked.id());
    Act::Answer(200, "application/json", body)
}
