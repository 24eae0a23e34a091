//! `ProcessRuntime` beyond its contract.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use portolan_core::{
    CredentialKey, CredentialStore, Endpoint, EnvValue, Error, FailureKind, InstallName, LogQuery, Precondition,
    Restart, Runtime, RuntimeLogs, RuntimeRestart, Secret, Sharing, Source, Status, SystemClock, Transport,
};
use serde_json::json;

use crate::{
    conformance::spec,
    support::{Ledger, TIMEOUT, eventually, runs, tool},
    test_runtime::test_runtime,
};

#[tokio::test]
async fn changed_spec_replaces_process() {
    let test_runtime = test_runtime();
    let pid = test_runtime.ready(&spec(&[])).await;
    test_runtime.ensure(&spec(&[])).await;
    test_runtime.call("echo", json!({})).await.unwrap();
    assert_eq!(test_runtime.runtime.pid(&test_runtime.name), Some(pid));
    let other = test_runtime.ready(&spec(&["--junk"])).await;
    assert_ne!(pid, other);
    assert!(!runs(pid));
}

#[tokio::test]
async fn replacement_drains_calls() {
    let test_runtime = Arc::new(test_runtime());
    let ledger = Ledger::new();
    test_runtime.ready(&spec(&["--ledger", ledger.path()])).await;
    let calling = test_runtime.clone();
    let sleeper = tokio::spawn(async move { calling.call("sleep", json!({"ms": 400})).await });
    ledger.begun(1).await;
    test_runtime.ensure(&spec(&["--junk"])).await;
    test_runtime.call("echo", json!({"text": "new"})).await.unwrap();
    sleeper.await.unwrap().unwrap();
}

#[tokio::test]
async fn removal_interrupts_drain() {
    for replace in [true, false] {
        let test_runtime = test_runtime();
        let ledger = Ledger::new();
        let pid = test_runtime.ready(&spec(&["--ledger", ledger.path()])).await;
        let channel = test_runtime.channel().await;
        let calling = channel.clone();
        let sleeper = tokio::spawn(async move { tool(&*calling, "sleep", json!({"ms": 20_000}), TIMEOUT).await });
        ledger.begun(1).await;
        if replace {
            test_runtime.ensure(&spec(&["--junk"])).await;
            eventually("the old process takes no calls", async || {
                tool(&*channel, "echo", json!({}), TIMEOUT).await.is_err()
            })
            .await;
        } else {
            RuntimeRestart::restart(&test_runtime.runtime, &test_runtime.name, Restart::Graceful)
                .await
                .unwrap();
            eventually("the restart is under way", async || {
                let status = test_runtime.runtime.status(&test_runtime.name).await.unwrap().status;
                matches!(status, Status::Restarting { .. })
            })
            .await;
        }
        let removal = tokio::time::timeout(Duration::from_secs(3), test_runtime.runtime.remove(&test_runtime.name));
        removal.await.expect("it does not wait for the call").unwrap();
        eventually("it is gone", async || !runs(pid)).await;
        assert!(sleeper.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn removal_ends_grandchildren() {
    let test_runtime = test_runtime();
    let file = test_runtime.dir.path().join("pid");
    let pid = test_runtime
        .ready(&spec(&["--grandchild", file.to_str().unwrap()]))
        .await;
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let lines = tokio::spawn(RuntimeLogs::logs(&test_runtime.runtime, &test_runtime.name, follow).collect::<Vec<_>>());
    test_runtime.runtime.remove(&test_runtime.name).await.unwrap();
    assert!(!runs(pid));
    eventually("the grandchild is gone", async || !runs(grandchild)).await;
    tokio::time::timeout(TIMEOUT, lines)
        .await
        .expect("a log that is followed ends")
        .unwrap();
}

#[tokio::test]
async fn dropped_runtime_kills_all() {
    let test_runtime = test_runtime();
    let file = test_runtime.dir.path().join("pid");
    let pid = test_runtime
        .ready(&spec(&["--grandchild", file.to_str().unwrap()]))
        .await;
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let endpoint = test_runtime.runtime.endpoint(&test_runtime.name).await.unwrap();
    let Endpoint::Channel(channel) = endpoint else {
        panic!("{endpoint:?}");
    };
    drop(test_runtime.runtime);
    eventually("both are gone", async || !runs(pid) && !runs(grandchild)).await;
    let error = tool(&*channel, "echo", json!({}), TIMEOUT).await.unwrap_err();
    assert!(matches!(error, Error::NotReady { failure, .. } if failure.kind == FailureKind::Stopped));
}

#[tokio::test]
async fn crash_loop_is_reported() {
    let test_runtime = test_runtime();
    test_runtime.ensure(&spec(&["--die-at-start", "5"])).await;
    let Status::Failed { failure } = test_runtime.settled().await else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::CrashLoop);
    assert!(failure.message.contains("exit code 5"));
    assert!(test_runtime.runtime.endpoint(&test_runtime.name).await.is_err());
    let log: Vec<_> = RuntimeLogs::logs(&test_runtime.runtime, &test_runtime.name, LogQuery::default())
        .collect()
        .await;
    assert_eq!(log[0].as_ref().unwrap().text, "fatal: planned death");
}

#[tokio::test]
async fn secrets_are_read_at_each_start() {
    let test_runtime = test_runtime();
    let key = CredentialKey::parse("install/x/token").unwrap();
    let mut spec = spec(&[]);
    spec.env.insert("TOKEN".into(), EnvValue::Secret(key.clone()));
    spec.files.insert("token".into(), EnvValue::Secret(key.clone()));
    test_runtime.ensure(&spec).await;
    let Status::Failed { failure } = test_runtime.settled().await else {
        panic!("started without its secret");
    };
    assert_eq!(failure.kind, FailureKind::Config);
    for secret in ["first-secret", "second-secret"] {
        test_runtime
            .credentials
            .put(&key, Secret::new(secret), Precondition::None)
            .await
            .unwrap();
        RuntimeRestart::restart(&test_runtime.runtime, &test_runtime.name, Restart::Graceful)
            .await
            .unwrap();
        eventually("the new secret is there", async || {
            let seen = test_runtime.call("env", json!({})).await.unwrap_or_default();
            seen["structuredContent"]["env"]["TOKEN"] == secret && seen["structuredContent"]["files"]["token"] == secret
        })
        .await;
    }
}

#[tokio::test]
async fn restarts_replace_process() {
    let test_runtime = test_runtime();
    let mut pid = test_runtime.ready(&spec(&[])).await;
    for kind in [Restart::Graceful, Restart::FreshPull, Restart::Reset] {
        RuntimeRestart::restart(&test_runtime.runtime, &test_runtime.name, kind)
            .await
            .unwrap();
        eventually("another process", async || {
            test_runtime
                .runtime
                .pid(&test_runtime.name)
                .is_some_and(|now| now != pid)
                && test_runtime.settled().await == Status::Ready
        })
        .await;
        test_runtime.call("echo", json!({})).await.unwrap();
        pid = test_runtime.runtime.pid(&test_runtime.name).unwrap();
    }
    let unknown = InstallName::new(&SystemClock);
    let missing = RuntimeRestart::restart(&test_runtime.runtime, &unknown, Restart::Graceful).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

/// Returns the spec of a server that is reached by HTTP on this port.
pub(crate) fn http_spec(port: u16) -> portolan_core::RunSpec {
    let python = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let python = String::from_utf8(python.unwrap().stdout).unwrap();
    let mut spec = spec(&[]);
    let script = "import http.server,sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), \
                  http.server.SimpleHTTPRequestHandler).serve_forever()";
    spec.source = Source::Command {
        program: python.trim().into(),
        args: vec!["-c".into(), script.into(), port.to_string()],
        transport: Transport::Http {
            port,
            path: "/mcp".into(),
        },
    };
    spec
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn http_server_is_ready_when_listening() {
    let test_runtime = test_runtime();
    let port = free_port();
    let spec = http_spec(port);
    let pid = test_runtime.ready(&spec).await;
    let endpoint = test_runtime.runtime.endpoint(&test_runtime.name).await.unwrap();
    let Endpoint::Http(http) = endpoint else {
        panic!("{endpoint:?}");
    };
    assert_eq!(http.url.as_str(), format!("http://127.0.0.1:{port}/mcp"));
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    test_runtime.runtime.remove(&test_runtime.name).await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn occupied_port_fails() {
    let test_runtime = test_runtime();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = spec(&[]);
    if let Source::Command { transport, .. } = &mut spec.source {
        *transport = Transport::Http {
            port: taken.local_addr().unwrap().port(),
            path: "/mcp".into(),
        };
    }
    test_runtime.ensure(&spec).await;
    let Status::Failed { failure } = test_runtime.settled().await else {
        panic!("took somebody else for the server");
    };
    assert_eq!(failure.kind, FailureKind::Start);
    let owner = format!("process {} (", std::process::id());
    assert!(failure.message.contains(&owner), "{failure:?}");
    assert!(
        failure.message.contains("which no Portolan host started"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn unsupported_specs_are_refused() {
    let test_runtime = test_runtime();
    let mut image = spec(&[]);
    image.source = Source::Image {
        image: "example.com/server:1".into(),
        program: None,
        args: Vec::new(),
        transport: Transport::Stdio,
    };
    let mut no_session = spec(&[]);
    no_session.sharing = Sharing::PerSession { max: 0 };
    let mut http_per_session = spec(&[]);
    http_per_session.sharing = Sharing::PerSession { max: 3 };
    if let Source::Command { transport, .. } = &mut http_per_session.source {
        *transport = Transport::Http {
            port: 8080,
            path: "/mcp".into(),
        };
    }
    let mut bad_path = spec(&[]);
    if let Source::Command { transport, .. } = &mut bad_path.source {
        *transport = Transport::Http {
            port: 8080,
            path: "mcp".into(),
        };
    }
    for spec in [image, no_session, http_per_session, bad_path] {
        let refused = test_runtime.runtime.ensure(&test_runtime.name, &spec).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    assert!(test_runtime.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn shutdown_ends_grandchildren() {
    let test_runtime = test_runtime();
    let file = test_runtime.dir.path().join("pid");
    let spec = spec(&["--grandchild", file.to_str().unwrap()]);
    let pid = test_runtime.ready(&spec).await;
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let begun = Instant::now();
    test_runtime.runtime.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!runs(pid));
    eventually("the grandchild is gone", async || !runs(grandchild)).await;
    assert_eq!(test_runtime.runtime.list().await.unwrap(), []);
    let refused = test_runtime.runtime.ensure(&test_runtime.name, &spec).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn shutdown_kills_lingering_server() {
    let test_runtime = test_runtime();
    let pid = test_runtime.ready(&spec(&["--linger"])).await;
    test_runtime.runtime.shutdown(Duration::from_millis(200)).await.unwrap();
    assert!(!runs(pid));
}
