//! Shutdown and exit codes of the bridge.

use std::{os::unix::fs::PermissionsExt, process::Stdio};

use serde_json::json;

use super::{
    client::{get, modern},
    process::{Bridge, TOKEN, binary},
};
use crate::support::{Ledger, eventually, program, runs};

#[tokio::test]
async fn shutdown_drains_calls() {
    let ledger = Ledger::new();
    let mut bridge = Bridge::of_fixture(&["--ledger", ledger.path()]).await;
    let client = bridge.client();
    let sleep = modern("tools/call", json!({"name": "sleep", "arguments": {"ms": 1500}}));
    let sleeper = tokio::spawn(async move { client.post(&sleep).await });
    ledger.begun(1).await;
    let server = bridge.server().unwrap();
    bridge.terminate();
    bridge.writes("stopping").await;
    let refused = bridge.client().post(&modern("tools/list", json!({}))).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.headers["connection"]),
        (503, &"close".parse().unwrap())
    );
    let health = get(bridge.port, "/healthz").await.unwrap();
    assert_eq!(
        (health.status.as_u16(), &health.json()["status"]),
        (503, &json!("stopping"))
    );
    let slept = sleeper.await.unwrap();
    assert_eq!(slept.json()["result"]["content"][0]["text"], "slept");
    assert_eq!(bridge.ended().await.code(), Some(0));
    assert!(!runs(server));
}

#[tokio::test]
async fn drain_timeout() {
    let ledger = Ledger::new();
    let mut bridge = Bridge::start(&["--drain", "1"], &[&program(), "--ledger", ledger.path()]);
    bridge.wait().await;
    let client = bridge.client();
    let sleep = modern("tools/call", json!({"name": "sleep", "arguments": {"ms": 20_000}}));
    tokio::spawn(async move { client.try_post(&sleep).await.is_ok() });
    ledger.begun(1).await;
    bridge.terminate();
    bridge.writes("given up").await;
    assert_eq!(bridge.ended().await.code(), Some(0));
}

#[tokio::test]
async fn crash_loop_exit_code() {
    let mut bridge = Bridge::start(&[], &[&program(), "--die-at-start", "42"]);
    assert_eq!(bridge.ended().await.code(), Some(42));
    eventually("its last words", async || {
        bridge.has_written("hint: this server was told to die") && bridge.has_written("exit code 42")
    })
    .await;
}

#[tokio::test]
async fn missing_program_exit_code() {
    let mut bridge = Bridge::start(&[], &["not-installed-anywhere"]);
    assert_eq!(bridge.ended().await.code(), Some(127));
    bridge.writes("\"not-installed-anywhere\" is not installed").await;
}

#[tokio::test]
async fn health_while_starting() {
    let bridge = Bridge::start(&[], &["sleep", "1000"]);
    let health = get(bridge.port, "/healthz").await.unwrap();
    assert_eq!(
        (health.status.as_u16(), &health.json()["status"]),
        (503, &json!("starting"))
    );
}

#[test]
fn token_is_required() {
    let ended = binary()
        .args(["--port", "0", "--", "x"])
        .env_remove("PORTOLAN_BRIDGE_TOKEN")
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("PORTOLAN_BRIDGE_TOKEN is not set"));
}

#[test]
fn copy_to() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("portolan-bridge");
    for _ in 0..2 {
        assert!(
            binary()
                .args(["--copy-to", to.to_str().unwrap()])
                .status()
                .unwrap()
                .success()
        );
    }
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    let help = std::process::Command::new(&to)
        .arg("--help")
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(help.success());
    let nowhere = binary()
        .args(["--copy-to", "/nowhere/x"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert_eq!(nowhere.code(), Some(74));
}

/// As the first process of a container, in a process namespace of its own, where this machine allows one.
#[tokio::test]
async fn pid_1_reaps_and_forwards_signals() {
    let dir = tempfile::tempdir().unwrap();
    let orphan_ran = dir.path().join("orphan");
    let script = format!(
        "exec unshare --pid --fork --kill-child {} --port 0 -- sh -c '(touch {} &) ; exec {}'",
        env!("CARGO_BIN_EXE_portolan-bridge"),
        orphan_ran.display(),
        program()
    );
    let mut child = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("PORTOLAN_BRIDGE_TOKEN", TOKEN)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut lines = std::io::BufRead::lines(stderr);
    let first = lines.next().unwrap().unwrap();
    if first.contains("Operation not permitted") {
        println!("process namespaces are not allowed here");
        child.wait().unwrap();
        return;
    }
    let port: u16 = first.rsplit(' ').next().unwrap().parse().unwrap();
    eventually("ready", async || {
        get(port, "/healthz").await.is_ok_and(|answer| answer.status == 200)
    })
    .await;
    let init = descendant(child.id());
    eventually("the orphan ended and was reaped", async || {
        orphan_ran.exists() && children(init).len() == 1
    })
    .await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(init).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut status = None;
    eventually("it ends", async || {
        status = child.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(0));
}

fn children(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// The process that `unshare` started.
fn descendant(pid: u32) -> u32 {
    children(pid)[0]
}
