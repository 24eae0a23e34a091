//! The lifecycle events that the crate docs promise.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use portolan_core::Channel;
use portolan_process::{RestartPolicy, ServerCommand};
use serde_json::json;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::{TestServer, eventually, failure, fixture, serve_command};

/// The events of this thread, one a line, until it is dropped.
struct Events {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
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
            .with_writer(lines.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        Self {
            lines,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    fn all(&self) -> Vec<String> {
        let text = String::from_utf8(self.lines.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    /// Returns the events with this level and message, each with its fields.
    fn of(&self, level: &str, message: &str) -> Vec<String> {
        let start = format!("{level} portolan_process: {message} ");
        let all = self.all();
        all.iter()
            .filter_map(|line| line.strip_prefix(&start))
            .map(Into::into)
            .collect()
    }
}

fn quick_restarts(command: ServerCommand) -> TestServer {
    serve_command(command, |config| {
        config.restarts = RestartPolicy::default()
            .with_first_delay(Duration::from_millis(10))
            .with_crash_loop_after(2);
    })
}

#[tokio::test]
async fn start_ready_and_stop() {
    let events = Events::record();
    let served = quick_restarts(fixture(["--era", "legacy"]));
    served.server.handshake().await.unwrap();
    let pid = served.server.pid().unwrap();
    served.server.stop(Duration::ZERO).await;
    let started = format!("server=\"fixture\" pid={pid} start=1");
    assert_eq!(events.of("INFO", "server started"), [started]);
    let ready = format!("server=\"fixture\" pid={pid} version=\"2025-11-25\" restarts=0");
    assert_eq!(events.of("INFO", "server ready"), [ready]);
    let stopped = format!("server=\"fixture\" pid={pid} exit_status=\"exit code 0\" reason=\"stop\"");
    assert_eq!(events.of("INFO", "server stopped"), [stopped]);
    assert_eq!(events.all().len(), 3, "{:?}", events.all());
}

#[tokio::test]
async fn crash_and_restart() {
    let events = Events::record();
    let served = quick_restarts(fixture([]));
    served.server.handshake().await.unwrap();
    let pid = served.server.pid().unwrap();
    served.tool("crash", json!({"code": 9})).await.unwrap_err();
    served.tool("echo", json!({})).await.unwrap();
    let exited = events.of("WARN", "server exited");
    let expected = format!("server=\"fixture\" pid={pid} exit_status=\"exit code 9\" uptime_ms=");
    assert!(exited.len() == 1 && exited[0].starts_with(&expected), "{exited:?}");
    let scheduled = "server=\"fixture\" reason=\"the server ended: exit code 9\" restarts=0 failures=1 delay_ms=10";
    assert_eq!(events.of("WARN", "server restart scheduled"), [scheduled]);
    assert_eq!(events.of("INFO", "server started").len(), 2);
    let ready = events.of("INFO", "server ready");
    assert!(ready.len() == 2 && ready[1].ends_with("restarts=1"), "{ready:?}");
}

#[tokio::test]
async fn crash_loop() {
    let events = Events::record();
    let served = quick_restarts(fixture(["--die-at-start", "42", "--era", "legacy"]));
    failure(served.server.handshake().await);
    let crash_loop = events.of("ERROR", "server in a crash loop");
    assert_eq!(crash_loop.len(), 1, "{:?}", events.all());
    assert!(crash_loop[0].contains("exit code 42"), "{crash_loop:?}");
    assert!(crash_loop[0].ends_with("failures=2 delay_ms=30000"), "{crash_loop:?}");
    assert_eq!(events.of("INFO", "server ready"), [""; 0]);
}

#[tokio::test]
async fn missing_program() {
    let events = Events::record();
    let served = quick_restarts(ServerCommand::new("not-installed-anywhere", [""; 0]));
    failure(served.server.handshake().await);
    let failed = events.of("ERROR", "server cannot be started");
    assert!(
        failed.len() == 1 && failed[0].contains("is not installed"),
        "{failed:?}"
    );
    assert_eq!(events.all().len(), 1, "{:?}", events.all());
}

#[tokio::test]
async fn restart_on_request() {
    let events = Events::record();
    let served = quick_restarts(fixture([]));
    served.server.handshake().await.unwrap();
    served.server.restart(Duration::ZERO).await;
    eventually("it is ready again", async || {
        events.of("INFO", "server ready").len() == 2
    })
    .await;
    let stopped = events.of("INFO", "server stopped");
    assert!(
        stopped.len() == 1 && stopped[0].ends_with("reason=\"restart\""),
        "{stopped:?}"
    );
    assert_eq!(events.of("WARN", "server exited"), [""; 0]);
}

#[tokio::test]
async fn drop_without_stop() {
    let events = Events::record();
    let served = quick_restarts(fixture([]));
    served.server.handshake().await.unwrap();
    drop(served.server);
    eventually("it is reported", async || {
        !events.of("INFO", "server stopped").is_empty()
    })
    .await;
    let stopped = events.of("INFO", "server stopped");
    assert!(stopped[0].contains("its owner was dropped"), "{stopped:?}");
}
