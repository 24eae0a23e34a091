//! How servers start, and fail to.

use std::time::{Duration, Instant};

use portolan_core::{Channel, FailureKind, LogQuery, ProtocolEra};
use portolan_process::ServerCommand;
use serde_json::json;

use crate::support::{failure, fixture, log, request, serve, serve_command, serve_with, tool, until};

#[tokio::test]
async fn calls_wait_for_a_slow_start() {
    let served = serve(["--slow-start", "400"]);
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_timeout() {
    let served = serve(["--slow-start", "5000"]);
    let waiting = failure(tool(&*served.server, "echo", json!({}), Duration::from_millis(200)).await);
    assert_eq!(waiting.kind, FailureKind::Starting);
    assert!(waiting.is_retryable());
}

#[tokio::test]
async fn waiting_calls_are_bounded() {
    let served = serve_with(["--slow-start", "5000"], |config| config.limits.waiting = 2);
    let calls = (0..5).map(|_| tool(&*served.server, "echo", json!({}), Duration::from_millis(300)));
    let results = futures_util::future::join_all(calls).await;
    let refused = results
        .iter()
        .filter(|result| matches!(result, Err(portolan_core::Error::Exhausted { .. })));
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn an_ignored_probe_leads_to_the_legacy_handshake() {
    let served = serve_with(["--ignore-probe", "--era", "legacy"], |config| {
        config.probe_patience = Duration::from_millis(200);
    });
    assert!(!served.server.handshake().await.unwrap().modern);
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn a_slow_modern_server_is_not_taken_for_a_legacy_one() {
    let served = serve_with(["--slow-start", "600"], |config| {
        config.probe_patience = Duration::from_millis(100);
    });
    assert!(served.server.handshake().await.unwrap().modern);
}

#[tokio::test]
async fn a_server_that_dies_of_the_probe_is_not_probed_again() {
    let served = serve(["--die-on-probe", "--era", "legacy"]);
    let begun = Instant::now();
    let hello = served.server.handshake().await.unwrap();
    assert!(!hello.modern);
    assert_eq!(hello.generation, 2);
    assert!(begun.elapsed() < Duration::from_secs(2));
    // The next start goes without a probe at once.
    crate::support::kill(served.server.pid().unwrap());
    until("the next run", async || {
        served.server.handshake().await.is_ok_and(|hello| hello.generation == 3)
    })
    .await;
}

#[tokio::test]
async fn a_modern_server_that_died_of_something_else_is_still_found() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("marker");
    let script = format!(
        "if [ -e {0} ]; then exec {1} --era modern; else touch {0}; exit 1; fi",
        marker.display(),
        crate::support::program()
    );
    let served = serve_command(ServerCommand::new("sh", ["-c", &script]), |_| {});
    assert!(served.server.handshake().await.unwrap().modern);
}

#[tokio::test]
async fn a_server_that_dies_at_start_ends_in_a_crash_loop_with_its_last_words() {
    let served = serve_with(["--die-at-start", "42"], |config| {
        config.restarts.first_delay = Duration::from_millis(10);
    });
    let begun = Instant::now();
    let crash_loop = failure(served.server.handshake().await);
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(crash_loop.kind, FailureKind::CrashLoop);
    assert!(crash_loop.message.contains("exit code 42"), "{crash_loop}");
    assert!(
        crash_loop.detail.iter().any(|line| line == "fatal: planned death"),
        "{crash_loop:?}"
    );
    assert!(crash_loop.remedy.is_some());
    // From now on calls fail at once.
    let begun = Instant::now();
    assert_eq!(
        failure(served.tool("echo", json!({})).await).kind,
        FailureKind::CrashLoop
    );
    assert!(begun.elapsed() < Duration::from_millis(500));
    let previous = LogQuery {
        previous: true,
        ..LogQuery::default()
    };
    assert_eq!(log(&served.server, previous).await.len(), 2);
}

#[tokio::test]
async fn a_crash_loop_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let gate = dir.path().join("gate");
    let script = format!(
        "[ -e {} ] || exit 1; exec {}",
        gate.display(),
        crate::support::program()
    );
    let served = serve_command(ServerCommand::new("sh", ["-c", &script]), |config| {
        config.restarts.first_delay = Duration::from_millis(5);
        config.restarts.max_delay = Duration::from_millis(100);
    });
    assert_eq!(failure(served.server.handshake().await).kind, FailureKind::CrashLoop);
    std::fs::write(&gate, "").unwrap();
    until("it heals", async || served.server.handshake().await.is_ok()).await;
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn a_missing_program_names_what_to_install() {
    for (program, remedy) in [("uvx-nowhere", "search path"), ("/nowhere/npx", "Node.js")] {
        let served = serve_command(ServerCommand::new(program, [""; 0]), |_| {});
        let missing = failure(served.server.handshake().await);
        assert_eq!(missing.kind, FailureKind::Image);
        assert!(missing.remedy.as_ref().unwrap().contains(remedy), "{missing:?}");
    }
}

#[tokio::test]
async fn what_does_not_speak_mcp_is_told_as_such() {
    let silent = serve_command(ServerCommand::new("sleep", ["1000"]), |config| {
        config.start_deadline = Duration::from_millis(300);
    });
    assert_eq!(failure(silent.server.handshake().await).kind, FailureKind::Timeout);
    let legacy = serve_command(fixture(["--era", "legacy"]).with_era(ProtocolEra::Modern), |_| {});
    assert_eq!(failure(legacy.server.handshake().await).kind, FailureKind::Protocol);
    let modern = serve_command(fixture(["--era", "modern"]).with_era(ProtocolEra::Legacy), |_| {});
    assert_eq!(failure(modern.server.handshake().await).kind, FailureKind::Protocol);
}

#[tokio::test]
async fn a_crash_by_a_call_fails_it_and_the_next_run_takes_the_next() {
    let served = serve([]);
    let generation = served.server.handshake().await.unwrap().generation;
    let crashed = failure(served.tool("crash", json!({"code": 9})).await);
    assert_eq!(crashed.kind, FailureKind::Exited);
    assert!(crashed.message.contains("exit code 9"), "{crashed}");
    assert!(
        crashed.detail.iter().any(|line| line.contains("told to crash")),
        "{crashed:?}"
    );
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
    assert_eq!(served.server.handshake().await.unwrap().generation, generation + 1);
}

#[tokio::test]
async fn a_restart_lets_calls_finish() {
    let served = serve([]);
    let pid = served.server.handshake().await.map(|_| served.server.pid()).unwrap();
    let sleeper = served
        .server
        .call(request("sleep", &json!({"ms": 300}), Duration::from_secs(5)))
        .await
        .unwrap();
    served.server.restart(Duration::from_secs(5)).await;
    sleeper.answer().await.unwrap();
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
    assert_ne!(served.server.pid(), pid);
}
