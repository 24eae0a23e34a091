//! Starts, failed starts and restarts of servers.

use std::time::{Duration, Instant};

use portolan_core::{Channel, FailureKind, LogQuery, ProtocolEra};
use portolan_process::ServerCommand;
use serde_json::json;

use crate::support::{eventually, failure, fixture, log, request, serve, serve_command, serve_with, tool};

#[tokio::test]
async fn calls_wait_for_slow_start() {
    let served = serve(["--slow-start", "400"]);
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn waiting_call_times_out() {
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
async fn ignored_probe_falls_back() {
    let served = serve_with(["--ignore-probe", "--era", "legacy"], |config| {
        config.probe_patience = Duration::from_millis(200);
    });
    assert!(!served.server.handshake().await.unwrap().modern);
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn slow_modern_server() {
    let served = serve_with(["--slow-start", "600"], |config| {
        config.probe_patience = Duration::from_millis(100);
    });
    assert!(served.server.handshake().await.unwrap().modern);
}

#[tokio::test]
async fn server_spoiled_by_probe_gets_fresh_process() {
    let served = serve(["--spoiled-by-probe", "--era", "legacy"]);
    let hello = served.server.handshake().await.unwrap();
    assert_eq!((hello.modern, hello.generation), (false, 2));
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
    // That is remembered.
    crate::support::kill(served.server.pid().unwrap());
    eventually("the next run", async || {
        served.server.handshake().await.is_ok_and(|hello| hello.generation == 3)
    })
    .await;
}

#[tokio::test]
async fn byte_order_mark_is_skipped() {
    let served = serve(["--byte-order-mark", "--spoiled-by-probe", "--era", "legacy"]);
    assert_eq!(served.server.handshake().await.unwrap().generation, 2);
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
    assert!(!served.log().await.iter().any(|line| line.contains("jsonrpc")));
}

#[tokio::test]
async fn crash_loop_begins_with_last_line() {
    let served = serve_with(["--die-at-start", "5"], |config| {
        config.restarts.first_delay = Duration::from_millis(5);
    });
    let crashed = failure(served.server.handshake().await);
    assert_eq!(crashed.kind, FailureKind::CrashLoop);
    let message = &crashed.message;
    assert!(
        message.starts_with("\"hint: this server was told to die\": "),
        "{message}"
    );
    assert!(
        message.contains("5 times in a row") && message.contains("exit code 5"),
        "{message}"
    );
}

#[tokio::test]
async fn exit_on_probe_skips_probe() {
    let served = serve(["--die-on-probe", "--era", "legacy"]);
    let begun = Instant::now();
    let hello = served.server.handshake().await.unwrap();
    assert!(!hello.modern);
    assert_eq!(hello.generation, 2);
    assert!(begun.elapsed() < Duration::from_secs(2));
    // The next start goes without a probe at once.
    crate::support::kill(served.server.pid().unwrap());
    eventually("the next run", async || {
        served.server.handshake().await.is_ok_and(|hello| hello.generation == 3)
    })
    .await;
}

#[tokio::test]
async fn modern_server_after_first_exit() {
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
async fn exit_at_start_is_crash_loop() {
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
async fn crash_loop_recovers() {
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
    eventually("it heals", async || served.server.handshake().await.is_ok()).await;
    assert_eq!(served.text("echo", json!({"text": "x"})).await, "x");
}

#[tokio::test]
async fn missing_program_names_remedy() {
    for (program, remedy) in [("uvx-nowhere", "search path"), ("/nowhere/npx", "Node.js")] {
        let served = serve_command(ServerCommand::new(program, [""; 0]), |_| {});
        let missing = failure(served.server.handshake().await);
        assert_eq!(missing.kind, FailureKind::Image);
        assert!(missing.remedy.as_ref().unwrap().contains(remedy), "{missing:?}");
    }
}

#[tokio::test]
async fn non_mcp_server_fails() {
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
async fn crash_fails_call_and_restarts() {
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
async fn restart_drains_calls() {
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
