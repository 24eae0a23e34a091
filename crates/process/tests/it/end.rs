//! How servers end: always, and with all that they started.

use std::time::{Duration, Instant};

use portolan_core::{Channel, FailureKind};
use portolan_process::ServerCommand;
use serde_json::json;

use crate::support::{TestServer, failure, runs, serve, serve_command, until};

async fn with_grandchild(flags: &[&str]) -> (TestServer, u32, u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let served = serve(flags.iter().copied().chain(["--grandchild", file.to_str().unwrap()]));
    served.server.handshake().await.unwrap();
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let pid = served.server.pid().unwrap();
    assert!(runs(pid) && runs(grandchild));
    (served, pid, grandchild)
}

#[tokio::test]
async fn dropping_the_server_kills_its_grandchildren() {
    let (served, pid, grandchild) = with_grandchild(&[]).await;
    drop(served.server);
    until("both are gone", async || !runs(pid) && !runs(grandchild)).await;
    until("its directory is gone", async || {
        std::fs::read_dir(served.dir.path().join("private")).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn stopping_the_server_ends_its_grandchildren() {
    let (served, pid, grandchild) = with_grandchild(&[]).await;
    let begun = Instant::now();
    served.server.stop(Duration::ZERO).await;
    assert!(!runs(pid));
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "closed input is enough: {:?}",
        begun.elapsed()
    );
    until("the grandchild is gone", async || !runs(grandchild)).await;
    assert_eq!(failure(served.tool("echo", json!({})).await).kind, FailureKind::Stopped);
}

#[tokio::test]
async fn a_server_that_lingers_is_told_to_end() {
    let (served, pid, _) = with_grandchild(&["--linger"]).await;
    let begun = Instant::now();
    served.server.stop(Duration::ZERO).await;
    assert!(!runs(pid));
    let took = begun.elapsed();
    assert!(
        (1000..1900).contains(&took.as_millis()),
        "SIGTERM after the grace: {took:?}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_killed() {
    let script = format!(
        "trap '' TERM; {} --linger & wait; while true; do sleep 1; done",
        crate::support::program()
    );
    let served = serve_command(ServerCommand::new("sh", ["-c", &script]), |config| {
        config.start_deadline = Duration::from_secs(60);
    });
    until("it runs", async || served.server.pid().is_some()).await;
    let pid = served.server.pid().unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    served.server.stop(Duration::ZERO).await;
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_crash_leaves_no_grandchild() {
    let (served, _, grandchild) = with_grandchild(&[]).await;
    let begun = Instant::now();
    // The grandchild holds the output open: the end is noticed all the same.
    assert_eq!(
        failure(served.tool("crash", json!({"code": 1})).await).kind,
        FailureKind::Exited
    );
    assert!(begun.elapsed() < Duration::from_secs(1));
    until("the grandchild is gone", async || !runs(grandchild)).await;
}

#[tokio::test]
async fn calls_under_way_fail_when_the_server_is_dropped() {
    let served = serve([]);
    let sleeper = served.begin("sleep", json!({"ms": 20_000})).await;
    drop(served.server);
    assert_eq!(failure(sleeper.answer().await).kind, FailureKind::Stopped);
}

#[tokio::test]
async fn stopping_may_let_calls_finish() {
    let served = serve([]);
    let sleeper = served.begin("sleep", json!({"ms": 200})).await;
    served.server.stop(Duration::from_secs(5)).await;
    sleeper.answer().await.unwrap();
}

#[tokio::test]
async fn a_closed_output_is_an_end() {
    let served = serve_command(ServerCommand::new("sh", ["-c", "exec >&-; sleep 1000"]), |config| {
        config.restarts.first_delay = Duration::from_millis(5);
    });
    let begun = Instant::now();
    assert_eq!(failure(served.server.handshake().await).kind, FailureKind::CrashLoop);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
