//! Starts the fixture, calls it, and waits for conditions.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{Channel, ChannelRequest, Error, Exchange, Failure, LogQuery, Result, RpcResponse};
use portolan_process::{ProcessConfig, ServerCommand, StdioServer};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

/// How long a call may take unless a test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// A server under test, and its directory.
pub(crate) struct TestServer {
    pub(crate) server: Arc<StdioServer>,
    pub(crate) dir: TempDir,
}

/// Returns the program of the fixture, which cargo builds as an example.
pub(crate) fn program() -> String {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile
        .join("examples/process_stdio_fixture")
        .to_str()
        .unwrap()
        .to_owned()
}

pub(crate) fn fixture<'a>(args: impl IntoIterator<Item = &'a str>) -> ServerCommand {
    ServerCommand::new(program(), args)
}

pub(crate) fn config(dir: &TempDir) -> ProcessConfig {
    let mut config = ProcessConfig::new(dir.path().join("private"));
    config.stop_grace = Duration::from_secs(1);
    config
}

/// Starts the fixture with these flags.
pub(crate) fn serve<'a>(args: impl IntoIterator<Item = &'a str>) -> TestServer {
    serve_with(args, |_| {})
}

pub(crate) fn serve_with<'a>(
    args: impl IntoIterator<Item = &'a str>,
    change: impl FnOnce(&mut ProcessConfig),
) -> TestServer {
    serve_command(fixture(args), change)
}

pub(crate) fn serve_command(command: ServerCommand, change: impl FnOnce(&mut ProcessConfig)) -> TestServer {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(&dir);
    change(&mut config);
    let server = StdioServer::start("fixture", command, &config);
    TestServer { server, dir }
}

/// Returns the request of a tool call.
pub(crate) fn request(name: &str, arguments: &Value, timeout: Duration) -> ChannelRequest {
    let params = json!({"name": name, "arguments": arguments}).to_string();
    ChannelRequest::new("tools/call", Some(Bytes::from(params)), timeout)
}

/// The file in which the fixture notes calls that take time, counted calls and cancellations.
pub(crate) struct Ledger(NamedTempFile);

impl Ledger {
    pub(crate) fn new() -> Self {
        Self(NamedTempFile::new().unwrap())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(self.0.path()).unwrap()
    }

    /// Waits until the fixture has begun `count` calls that take time.
    pub(crate) async fn begun(&self, count: usize) {
        eventually("calls are under way", async || {
            self.text().matches("begun").count() >= count
        })
        .await;
    }

    /// Waits until the fixture was told to cancel a call, with `reason`.
    pub(crate) async fn cancelled(&self, reason: &str) {
        let line = format!("cancelled {reason}");
        eventually("the server was told", async || self.text().contains(&line)).await;
    }
}

impl TestServer {
    pub(crate) async fn begin(&self, name: &str, arguments: Value) -> Exchange {
        self.server.call(request(name, &arguments, TIMEOUT)).await.unwrap()
    }

    pub(crate) async fn tool(&self, name: &str, arguments: Value) -> Result<Value> {
        tool(&*self.server, name, arguments, TIMEOUT).await
    }

    /// Calls a tool and returns the text of its result.
    pub(crate) async fn text(&self, name: &str, arguments: Value) -> String {
        let result = self.tool(name, arguments).await.unwrap();
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn log(&self) -> Vec<String> {
        log(&self.server, LogQuery::default()).await
    }
}

pub(crate) async fn log(server: &StdioServer, query: LogQuery) -> Vec<String> {
    use futures_util::StreamExt;
    server.logs(&query).map(|line| line.unwrap().text).collect().await
}

/// Calls a tool. A JSON-RPC error is returned under `error`.
pub(crate) async fn tool(channel: &dyn Channel, name: &str, arguments: Value, timeout: Duration) -> Result<Value> {
    let exchange = channel.call(request(name, &arguments, timeout)).await?;
    Ok(match exchange.answer().await? {
        RpcResponse::Result(raw) => serde_json::from_slice(&raw).unwrap(),
        RpcResponse::Error(raw) => json!({"error": serde_json::from_slice::<Value>(&raw).unwrap()}),
    })
}

#[track_caller]
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T>) -> Failure {
    match result {
        Err(Error::NotReady {
            what: "server",
            failure,
            ..
        }) => failure,
        other => panic!("not ready, not {other:?}"),
    }
}

/// Waits until a condition holds, for ten seconds at most.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

/// Returns true if a process runs; a zombie does not.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z')
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
