//! The events that the crate docs promise.

use std::{
    io,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tracing::{Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    upstreams::{Eras, http, http_again},
};

/// The events of this thread, one a line, until it is dropped.
struct Events {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Events {
    fn record() -> Self {
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_writer(lines.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Returns the events of the gateway with this level and message, each with its fields.
    fn of(&self, level: &str, message: &str) -> Vec<String> {
        let start = format!("{level} portolan_gateway: {message} ");
        let text = String::from_utf8(self.lines.0.lock().expect("no panic").clone()).expect("UTF-8");
        let lines = text.lines().map(str::trim);
        lines
            .filter_map(|line| line.strip_prefix(&start))
            .map(Into::into)
            .collect()
    }
}

#[tokio::test]
async fn lost_server_is_told_once() {
    let events = Events::record();
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    client.text("up__echo", json!({"text": "x"})).await;
    assert_eq!(events.of("WARN", "server unreachable"), [""; 0]);
    let address = upstream.address();
    drop(upstream);
    for _ in 0..3 {
        let failed = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(failed["result"]["isError"], true, "{failed}");
    }
    let lost = events.of("WARN", "server unreachable");
    assert_eq!(lost.len(), 1, "{lost:?}");
    assert!(
        lost[0].starts_with(r#"server="up" kind=Connection reason=""#),
        "{lost:?}"
    );
    assert_eq!(events.of("INFO", "server reachable"), [""; 0]);
    let _again = http_again(address, Eras::Both).await;
    for _ in 0..3 {
        client.text("up__echo", json!({"text": "x"})).await;
    }
    assert_eq!(events.of("INFO", "server reachable"), [r#"server="up""#]);
    assert_eq!(events.of("WARN", "server unreachable").len(), 1);
}

#[tokio::test]
async fn refused_credential_is_told_per_call() {
    let events = Events::record();
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    client.tools().await;
    upstream.behave(|behaviour| behaviour.bearer = Some("their-secret".into()));
    client.tool("up__echo", json!({"text": "x"})).await;
    let refused = events.of("WARN", "credential refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    let (start, end) = refused[0].split_once(" install=").expect("an install");
    assert_eq!(start, r#"gateway="default" server="up""#);
    assert!(end.contains(r#" caller=user:alice request_id=""#), "{end}");
    assert_eq!(events.of("WARN", "server unreachable"), [""; 0], "it was reached");
}

#[tokio::test]
async fn session_begins_and_ends() {
    let events = Events::record();
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let opened = events.of("DEBUG", "session opened");
    assert_eq!(opened.len(), 1, "{opened:?}");
    let (session, rest) = opened[0]
        .strip_prefix(r#"gateway="default" session=""#)
        .and_then(|rest| rest.split_once('"'))
        .expect("a session");
    assert_eq!(rest, r#" version="2025-11-25" client="t""#);
    assert_ne!(client.session.as_deref(), Some(session), "its id is a secret");
    assert_eq!(events.of("DEBUG", "session ended"), [""; 0]);
    client.delete().await;
    let ended = format!(r#"session="{session}" reason="deleted""#);
    assert_eq!(events.of("DEBUG", "session ended"), [ended]);
}
