//! The end of servers, and of the processes that they started.

use std::time::{Duration, Instant};

use portolan_core::{Channel, FailureKind};
use portolan_process::ServerCommand;
use serde_json::json;

use crate::support::{TestServer, eventually, failure, runs, serve, serve_command};

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
async fn drop_kills_grandchildren() {
    let (served, pid, grandchild) = with_grandchild(&[]).await;
    drop(served.server);
    eventually("both are gone", async || !runs(pid) && !runs(grandchild)).await;
    eventually("its directory is gone", async || {
        std::fs::read_dir(served.dir.path().join("private")).unwrap().count() == 0
    })
    .await;
}

#[tokio::test]
async fn stop_ends_grandchildren() {
    let (served, pid, grandchild) = with_grandchild(&[]).await;
    let begun = Instant::now();
    served.server.stop(Duration::ZERO).await;
    assert!(!runs(pid));
    assert!(
        begun.elapsed() < Duration::from_millis(900),
        "closed input is enough: {:?}",
        begun.elapsed()
    );
    eventually("the grandchild is gone", async || !runs(grandchild)).await;
    assert_eq!(failure(served.tool("echo", json!({})).await).kind, FailureKind::Stopped);
}

#[tokio::test]
async fn lingering_server_gets_sigterm() {
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
async fn unresponsive_server_is_killed() {
    let (served, pid, grandchild) = with_grandchild(&["--linger", "--ignore-sigterm"]).await;
    served.server.stop(Duration::ZERO).await;
    assert!(!runs(pid));
    eventually("the grandchild is gone", async || !runs(grandchild)).await;
}

#[tokio::test]
async fn stop_awaits_end_of_input() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("end");
    let served = serve(["--note-end", file.to_str().unwrap()]);
    served.server.handshake().await.unwrap();
    served.server.stop(Duration::ZERO).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "input\nexit\n");
}

async fn with_helper(flags: &[&str]) -> (TestServer, u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let served = serve(flags.iter().copied().chain(["--helper", file.to_str().unwrap()]));
    served.server.handshake().await.unwrap();
    let helper = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    assert!(runs(helper));
    (served, helper)
}

#[tokio::test]
async fn helper_in_own_session_ends_with_server() {
    for flags in [&[][..], &["--linger"], &["--linger", "--ignore-sigterm"]] {
        let (served, helper) = with_helper(flags).await;
        served.server.stop(Duration::ZERO).await;
        assert!(!runs(helper), "{flags:?}");
    }
}

#[tokio::test]
async fn helper_in_own_session_ends_with_drop_and_crash() {
    let (served, helper) = with_helper(&[]).await;
    drop(served);
    eventually("it is gone", async || !runs(helper)).await;
    let (served, helper) = with_helper(&[]).await;
    served.tool("crash", json!({"code": 1})).await.unwrap_err();
    eventually("it is gone", async || !runs(helper)).await;
}

#[tokio::test]
async fn crash_leaves_no_grandchild() {
    let (served, _, grandchild) = with_grandchild(&[]).await;
    let begun = Instant::now();
    // The grandchild holds the output open: the end is noticed all the same.
    assert_eq!(
        failure(served.tool("crash", json!({"code": 1})).await).kind,
        FailureKind::Exited
    );
    assert!(begun.elapsed() < Duration::from_secs(1));
    eventually("the grandchild is gone", async || !runs(grandchild)).await;
}

#[tokio::test]
async fn drop_fails_calls_under_way() {
    let served = serve([]);
    let sleeper = served.begin("sleep", json!({"ms": 20_000})).await;
    drop(served.server);
    assert_eq!(failure(sleeper.answer().await).kind, FailureKind::Stopped);
}

#[tokio::test]
async fn stop_drains_calls() {
    let served = serve([]);
    let sleeper = served.begin("sleep", json!({"ms": 200})).await;
    served.server.stop(Duration::from_secs(5)).await;
    sleeper.answer().await.unwrap();
}

#[tokio::test]
async fn closed_stdout_is_an_exit() {
    let served = serve_command(ServerCommand::new("sh", ["-c", "exec >&-; sleep 1000"]), |config| {
        config.restarts.first_delay = Duration::from_millis(5);
    });
    let begun = Instant::now();
    assert_eq!(failure(served.server.handshake().await).kind, FailureKind::CrashLoop);
    assert!(begun.elapsed() < Duration::from_secs(10));
}
