//! Servers that are child processes, in trouble.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use portolan_core::{Error, ProtocolEra, Sharing};
use portolan_gateway::{McpGateway, Timeouts, Upstream};
use portolan_process::ProcessConfig;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    upstreams::{Server, program, stdio},
};

fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_responses_never_cross() {
    let Server::Stdio { server, dir: _dir } = stdio(
        &["--out-of-order", "--wrong-id", "--duplicate-answers", "--junk"],
        ProtocolEra::Auto,
    ) else {
        unreachable!()
    };
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(server))
        .start()
        .await;
    let address = gateway.address;
    let callers = (0..64).map(|caller| async move {
        let client = Client::connect(address, ClientVersion::ALL[caller % 4]).await;
        for call in 0..5 {
            let text = format!("{caller}/{call}");
            assert_eq!(client.text("up__echo", json!({"text": text})).await, text);
        }
    });
    futures_util::future::join_all(callers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_process_fails_calls_and_restarts() {
    for era in ["legacy", "modern"] {
        let Server::Stdio { server, dir: _dir } = stdio(&["--era", era], ProtocolEra::Auto) else {
            unreachable!()
        };
        let gateway = TestGateway::builder()
            .upstream("up", Upstream::channel(server.clone()))
            .start()
            .await;
        let warm = gateway.client(ClientVersion::V2026_07_28);
        warm.text("up__echo", json!({"text": "x"})).await;
        let mut waiting = Vec::new();
        for caller in 0..64 {
            let client = gateway.connect(ClientVersion::ALL[caller % 4]).await;
            let post = client.call("1", "up__sleep", r#"{"ms":60000}"#);
            waiting.push((client.version, client.send_only(&post).await));
        }
        // It reads in order: what was sent before an echo was taken before it. The last of these may still be on the way.
        warm.text("up__echo", json!({"text": "x"})).await;
        let pid = server.pid().expect("it runs");
        kill(pid);
        let killed = Instant::now();
        for (version, connection) in waiting {
            let messages = connection.incoming().await.messages().await.expect("a whole answer");
            let answer: Value = serde_json::from_str(&messages[0]).expect("JSON");
            let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
            assert!(killed.elapsed() < Duration::from_secs(1), "{answer}");
            let failure = &answer["result"]["_meta"]["dev.portolan/failure"];
            assert_eq!(
                (&failure["cause"], &failure["retryable"]),
                (&json!("exited"), &json!(true)),
                "{answer}"
            );
            assert_eq!(answer["result"].get("resultType").is_some(), version.is_modern());
            assert!(!text.is_empty());
        }
        for version in ClientVersion::ALL {
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__echo", json!({"text": "again"})).await, "again");
        }
        assert_ne!(server.pid(), Some(pid));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_under_load_is_retryable() {
    let Server::Stdio { server, dir: _dir } = stdio(&[], ProtocolEra::Auto) else {
        unreachable!()
    };
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(server.clone()))
        .start()
        .await;
    let warm = gateway.client(ClientVersion::V2026_07_28);
    warm.text("up__echo", json!({"text": "x"})).await;
    let ended = AtomicUsize::new(0);
    let callers = (0..32).map(|caller| {
        let (client, ended) = (gateway.client(ClientVersion::V2026_07_28), &ended);
        async move {
            for call in 0..40 {
                let text = format!("{caller}/{call}");
                let answer = client.tool("up__echo", json!({"text": text})).await;
                if answer["result"]["isError"] == true {
                    assert_eq!(
                        answer["result"]["_meta"]["dev.portolan/failure"]["retryable"], true,
                        "{answer}"
                    );
                } else {
                    assert_eq!(answer["result"]["content"][0]["text"], text);
                }
                ended.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let killing = async {
        for calls in [200, 600] {
            eventually("calls are under way", || {
                ended.load(Ordering::Relaxed) >= calls && server.pid().is_some()
            })
            .await;
            kill(server.pid().expect("it runs"));
        }
    };
    tokio::join!(futures_util::future::join_all(callers), killing);
    assert_eq!(warm.text("up__echo", json!({"text": "on"})).await, "on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashing_call_is_not_repeated() {
    let server = stdio(&["--die-after", "2"], ProtocolEra::Auto);
    let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(client.text("up__count", json!({"key": "k"})).await, "1");
    let answer = client.tool("up__crash", json!({"code": 3})).await;
    assert_eq!(
        answer["result"]["_meta"]["dev.portolan/failure"]["cause"], "exited",
        "{answer}"
    );
    assert_eq!(
        client.text("up__count", json!({"key": "k"})).await,
        "1",
        "of a new process"
    );
    assert_eq!(server.count("k"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_lives_with_gateway() {
    let dir = tempfile::tempdir().expect("a directory");
    let pids = dir.path().join("pid");
    let upstream = Upstream::command(program(), ["--grandchild", pids.to_str().expect("UTF-8")]);
    let gateway = TestGateway::builder()
        .upstream("up", upstream)
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private"))))
        .start()
        .await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        assert_eq!(client.text("up__add", json!({"a": 1, "b": 2})).await, "3");
    }
    let pid: i32 = std::fs::read_to_string(&pids)
        .expect("a pid")
        .parse()
        .expect("a number");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    drop(gateway);
    eventually("the whole group is gone", || {
        rustix::process::test_kill_process(pid).is_err() || is_zombie(pid)
    })
    .await;
}

fn is_zombie(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_none_or(|rest| rest.trim_start().starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_program_is_typed_failure() {
    let dir = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::command("/no/such/program", [""; 0]);
    let gateway = TestGateway::builder()
        .upstream("up", upstream)
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private"))))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let result = client.call_method("tools/list", "").await.json()["result"].clone();
    assert_eq!(result["tools"], json!([]));
    assert!(result["_meta"]["dev.portolan/failure"]["up"].is_string(), "{result}");
    let answer = client.tool("up__echo", json!({})).await;
    assert_eq!(
        answer["result"]["_meta"]["dev.portolan/failure"]["retryable"], false,
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_server_times_out() {
    let server = stdio(&["--mute"], ProtocolEra::Auto);
    let gateway = TestGateway::builder()
        .upstream("up", server.upstream())
        .config(|config| config.timeouts.call = Duration::from_millis(150))
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let before = server.cancels();
        let client = gateway.connect(version).await;
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        assert_eq!(
            answer["result"]["_meta"]["dev.portolan/failure"]["cause"], "timeout",
            "{answer}"
        );
        eventually("told", || server.cancels() == before + 1).await;
    }
}

/// A server that notes the end of its input, and has a helper in a session of its own.
fn with_helper(dir: &std::path::Path) -> Upstream {
    let file = |name: &str| dir.join(name).to_str().expect("UTF-8").to_owned();
    Upstream::command(
        program(),
        [
            "--note-end".to_owned(),
            file("end"),
            "--helper".to_owned(),
            file("helper"),
        ],
    )
}

/// Sees that the server of `with_helper` has ended in order, and nothing of it is left.
fn assert_ended(dir: &std::path::Path) {
    let read = |name: &str| std::fs::read_to_string(dir.join(name)).expect("a file");
    assert_eq!(read("end"), "input\nexit\n");
    let helper = rustix::process::Pid::from_raw(read("helper").trim().parse().expect("a pid")).expect("a pid");
    assert!(rustix::process::test_kill_process(helper).is_err() || is_zombie(helper));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_servers_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::builder()
        .upstream("up", with_helper(dir.path()))
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private"))))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.text("up__add", json!({"a": 1, "b": 2})).await, "3");
    gateway.shared().shutdown(Duration::from_secs(20)).await;
    assert_ended(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_ends_servers_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let gateway = TestGateway::builder()
        .upstream("up", with_helper(dir.path()))
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private"))))
        .build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("an address"), ClientVersion::V2026_07_28);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(portolan_gateway::serve(listener, gateway, async { drop(ended.await) }));
    assert_eq!(client.text("up__add", json!({"a": 1, "b": 2})).await, "3");
    end.send(()).expect("it listens");
    serving.await.expect("no panic").expect("an orderly end");
    assert_ended(dir.path());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_signal_cuts_hanging_call() {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = dir.path().join("ledger");
    let flags = [
        "--linger",
        "--ignore-sigterm",
        "--ledger",
        ledger.to_str().expect("UTF-8"),
    ];
    let day = Duration::from_secs(24 * 3600);
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::command(program(), flags))
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private")).with_stop_grace(day)))
        .config(|config| config.timeouts = Timeouts::default().with_drain(day))
        .build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("an address"), ClientVersion::V2026_07_28);
    let ((end, ended), (now, hurry)) = (
        tokio::sync::oneshot::channel::<()>(),
        tokio::sync::oneshot::channel::<()>(),
    );
    let serving = portolan_gateway::serve_until(listener, gateway, async { drop(ended.await) }, async {
        drop(hurry.await)
    });
    let serving = tokio::spawn(serving);
    let _call = client
        .send_only(&client.call("1", "up__sleep", r#"{"ms":60000}"#))
        .await;
    eventually("the call is under way", || {
        std::fs::read_to_string(&ledger).is_ok_and(|text| text.contains("begun"))
    })
    .await;
    end.send(()).expect("it listens");
    now.send(()).expect("it listens");
    serving.await.expect("no panic").expect("an orderly end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_with_process_per_session() {
    let dir = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::command(program(), [""; 0]).sharing(Sharing::PerSession { max: 2 });
    let gateway = TestGateway::builder()
        .upstream("up", upstream)
        .settings(|builder| builder.processes(ProcessConfig::new(dir.path().join("private"))))
        .start()
        .await;
    let first = gateway.connect(ClientVersion::V2025_11_25).await;
    let second = gateway.connect(ClientVersion::V2025_11_25).await;
    let count = json!({"key": "k"});
    assert_eq!(first.text("up__count", count.clone()).await, "1");
    assert_eq!(first.text("up__count", count.clone()).await, "2");
    assert_eq!(second.text("up__count", count.clone()).await, "1");
    gateway.shared().shutdown(Duration::from_secs(20)).await;
    let left = std::fs::read_dir(dir.path().join("private"))
        .expect("a directory")
        .count();
    assert_eq!(left, 0, "no process is left, and no directory");
}

#[tokio::test]
async fn process_per_session_needs_command() {
    for upstream in [
        Upstream::http("http://127.0.0.1:1/mcp").sharing(Sharing::PerSession { max: 2 }),
        Upstream::command("x", [""; 0]).sharing(Sharing::PerSession { max: 0 }),
    ] {
        let built = McpGateway::builder().upstream("up", upstream).build();
        assert!(matches!(built, Err(Error::Invalid { .. })), "{built:?}");
    }
}
