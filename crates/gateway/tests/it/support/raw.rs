//! HTTP/1.1 by hand, so that odd bytes can be sent and every byte of a response is seen.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::DEADLINE;

/// One connection to the gateway.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The head of a response.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

/// A whole response.
#[derive(Clone, Debug)]
pub(crate) struct HttpResponse {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

/// A server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) data: String,
}

/// The connection ended before the response was whole.
#[derive(Debug)]
pub(crate) struct ConnectionBroken;

/// A response whose body is read as it comes.
pub(crate) struct ResponseStream {
    pub(crate) head: Head,
    connection: Connection,
    rest: Rest,
    text: Vec<u8>,
    /// How far `text` was looked through.
    seen: usize,
}

enum Rest {
    Length(usize),
    Chunked,
    Over,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the gateway listens");
        stream.set_nodelay(true).expect("nodelay");
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("written");
    }

    /// Sends bytes that may not be read to their end; returns whether they were written.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Closes the sending half.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.expect("shut down");
    }

    async fn more(&mut self) -> Result<(), ConnectionBroken> {
        let mut piece = vec![0; 64 * 1024];
        match timeout(DEADLINE, self.stream.read(&mut piece)).await {
            Err(_) => panic!("the gateway is silent"),
            Ok(Err(_) | Ok(0)) => Err(ConnectionBroken),
            Ok(Ok(length)) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(())
            }
        }
    }

    async fn line(&mut self) -> Result<String, ConnectionBroken> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn take(&mut self, length: usize) -> Result<Vec<u8>, ConnectionBroken> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    pub(crate) async fn head(&mut self) -> Result<Head, ConnectionBroken> {
        let mut status = 100;
        let mut headers = Vec::new();
        while status == 100 {
            let first = self.line().await?;
            status = first[9..12].parse().expect("a status");
            headers.clear();
            loop {
                let line = self.line().await?;
                let Some((name, value)) = line.split_once(':') else {
                    break;
                };
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        Ok(Head { status, headers })
    }

    /// Reads a whole response, after which the connection can be used again.
    pub(crate) async fn response(&mut self) -> Result<HttpResponse, ConnectionBroken> {
        let head = self.head().await?;
        let mut body = Vec::new();
        if let Some(length) = head.get("content-length") {
            body = self.take(length.parse().expect("a length")).await?;
        } else if head.get("transfer-encoding").is_some() {
            loop {
                let chunk = self.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                body.extend_from_slice(&chunk);
            }
        }
        Ok(HttpResponse { head, body })
    }

    async fn chunk(&mut self) -> Result<Vec<u8>, ConnectionBroken> {
        let size = usize::from_str_radix(&self.line().await?, 16).expect("a chunk's size");
        let chunk = self.take(size).await?;
        self.line().await?;
        Ok(chunk)
    }

    /// Reads the head of a response, and leaves its body to be read.
    pub(crate) async fn incoming(mut self) -> ResponseStream {
        let head = self.head().await.expect("a head");
        let rest = match head.get("content-length") {
            Some(length) => Rest::Length(length.parse().expect("a length")),
            None if head.get("transfer-encoding").is_some() => Rest::Chunked,
            None => Rest::Over,
        };
        ResponseStream {
            head,
            connection: self,
            rest,
            text: Vec::new(),
            seen: 0,
        }
    }
}

impl Head {
    /// Returns the header of this name, which is there once or not at all.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice: {self:?}");
        value
    }

    /// Returns the values of all headers of this name, in their order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).collect()
    }
}

impl Event {
    fn read(text: &str) -> Self {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let data: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data:")).collect();
        Self {
            id: field("id:").map(str::to_owned),
            retry: field("retry:").map(|millis| millis.parse().expect("a number")),
            data: data.join("\n").trim_start().to_owned(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }
}

impl HttpResponse {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// Returns the message; the last one of a stream.
    pub(crate) fn json(&self) -> Value {
        let is_stream = self.head.get("content-type") == Some("text/event-stream");
        let last = || {
            self.text()
                .lines()
                .filter_map(|line| line.strip_prefix("data: "))
                .next_back()
        };
        let message = if is_stream {
            last().unwrap_or_default().as_bytes()
        } else {
            &self.body
        };
        serde_json::from_slice(message).unwrap_or_else(|fault| panic!("{fault}: {self:?}"))
    }

    pub(crate) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }
}

impl ResponseStream {
    /// Reads the next chunk of the body; `None` at its proper end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Vec<u8>>, ConnectionBroken> {
        match self.rest {
            Rest::Over | Rest::Length(0) => Ok(None),
            Rest::Length(left) => {
                if self.connection.buffer.is_empty() {
                    self.connection.more().await?;
                }
                let length = left.min(self.connection.buffer.len());
                self.rest = Rest::Length(left - length);
                self.connection.take(length).await.map(Some)
            }
            Rest::Chunked => {
                let chunk = self.connection.chunk().await?;
                if chunk.is_empty() {
                    self.rest = Rest::Over;
                    return Ok(None);
                }
                Ok(Some(chunk))
            }
        }
    }

    /// Reads the rest of the body.
    pub(crate) async fn rest(mut self) -> Result<Vec<u8>, ConnectionBroken> {
        let mut body = std::mem::take(&mut self.text);
        while let Some(piece) = self.piece().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Reads the next message as text; `None` at the end of the stream. Events without data are skipped.
    pub(crate) async fn event(&mut self) -> Result<Option<String>, ConnectionBroken> {
        loop {
            match self.whole_event().await? {
                None => return Ok(None),
                Some(event) if event.data.is_empty() => {}
                Some(event) => return Ok(Some(event.data)),
            }
        }
    }

    /// Reads the next event with all its fields; `None` at the end of the stream. Comments are skipped.
    pub(crate) async fn whole_event(&mut self) -> Result<Option<Event>, ConnectionBroken> {
        loop {
            let from = self.seen;
            self.seen = self.text.len().saturating_sub(1);
            if let Some(end) = self.text[from..].windows(2).position(|pair| pair == b"\n\n") {
                let end = from + end;
                self.seen = 0;
                let event: Vec<u8> = self.text.drain(..end + 2).collect();
                let event = Event::read(&String::from_utf8(event).expect("UTF-8"));
                if event != Event::default() {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.piece().await? {
                Some(piece) => self.text.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
    }

    /// Reads the next message.
    pub(crate) async fn json(&mut self) -> Value {
        let event = timeout(DEADLINE, self.event()).await.expect("an event in time");
        let event = event.expect("no break").expect("an event");
        serde_json::from_str(&event).expect("JSON")
    }

    /// Returns whether no message comes during this time.
    pub(crate) async fn is_silent(&mut self, during: std::time::Duration) -> bool {
        timeout(during, self.event()).await.is_err()
    }

    /// Reads all messages of the rest of the response: those of a stream, or the one of a JSON text.
    pub(crate) async fn messages(mut self) -> Result<Vec<String>, ConnectionBroken> {
        let mut messages = Vec::new();
        if self.head.get("content-type") != Some("text/event-stream") {
            let text = String::from_utf8(self.rest().await?).expect("UTF-8");
            messages.extend((!text.is_empty()).then_some(text));
            return Ok(messages);
        }
        while let Some(event) = self.event().await? {
            messages.push(event);
        }
        Ok(messages)
    }
}
