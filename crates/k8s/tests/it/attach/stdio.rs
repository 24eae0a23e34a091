//! The container's side of an attachment.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// The standard input and output of the container.
pub(super) struct Stdio {
    pub(super) socket: WebSocketStream<TcpStream>,
    read: Vec<u8>,
}

impl Stdio {
    pub(super) fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            read: Vec::new(),
        }
    }

    /// Reads the next line of the input; `None` at the end.
    pub(super) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8(line[..end].to_vec()).unwrap());
            }
            let message = timeout(Duration::from_secs(60), self.socket.next())
                .await
                .expect("nothing comes");
            if let Message::Binary(data) = message?.ok()? {
                assert_eq!(data[0], 0, "the input");
                self.read.extend_from_slice(&data[1..]);
            }
        }
    }

    /// Reads the next message of the input.
    pub(super) async fn message(&mut self) -> Option<Value> {
        loop {
            let line = self.line().await?;
            if !line.is_empty() {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// Writes to a channel.
    pub(super) async fn write(&mut self, channel: u8, data: &[u8]) {
        let message = [&[channel], data].concat();
        let _ = self.socket.send(Message::Binary(message.into())).await;
    }

    /// Writes a message to the output.
    pub(super) async fn say(&mut self, message: &Value) {
        self.write(1, format!("{message}\n").as_bytes()).await;
    }

    /// Answers the handshake as a legacy server.
    pub(super) async fn handshake(&mut self) {
        let probe = self.message().await.unwrap();
        assert_eq!(probe["method"], "server/discover");
        self.say(&json!({"jsonrpc": "2.0", "id": probe["id"], "error": {"code": -32601, "message": "no"}}))
            .await;
        let initialize = self.message().await.unwrap();
        assert_eq!(initialize["method"], "initialize");
        let result =
            json!({"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}});
        self.say(&json!({"jsonrpc": "2.0", "id": initialize["id"], "result": result}))
            .await;
        assert_eq!(self.message().await.unwrap()["method"], "notifications/initialized");
    }

    /// Answers each call with its params, until the end.
    pub(super) async fn echo(mut self) {
        while let Some(message) = self.message().await {
            if message["method"] == "tools/call" {
                self.say(&json!({"jsonrpc": "2.0", "id": message["id"], "result": message["params"]}))
                    .await;
            }
        }
    }

    pub(super) async fn answer(&mut self, id: &Value, result: Value) {
        self.say(&json!({"jsonrpc": "2.0", "id": id, "result": result})).await;
    }
}
