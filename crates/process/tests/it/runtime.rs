//! The process runtime beyond its contract.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use portolan_core::{
    CredentialKey, CredentialStore, Endpoint, EnvValue, Error, FailureKind, InstallName, LogQuery, Precondition,
    Restart, Runtime, RuntimeLogs, RuntimeRestart, Secret, Sharing, Source, Status, SystemClock, Transport,
};
use portolan_process::ProcessRuntime;
use serde_json::json;

use crate::{
    bench::{Bench, bench},
    conformance::spec,
    support::{PATIENCE, config, request, runs, tool, until},
};

#[tokio::test]
async fn an_equal_spec_keeps_the_process_and_another_replaces_it() {
    let bench = bench();
    let pid = bench.ready(&spec(&[])).await;
    bench.ensure(&spec(&[])).await;
    bench.call("echo", json!({})).await.unwrap();
    assert_eq!(bench.runtime.pid(&bench.name), Some(pid));
    let other = bench.ready(&spec(&["--junk"])).await;
    assert_ne!(pid, other);
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_replacement_lets_calls_finish() {
    let bench = Arc::new(bench());
    bench.ready(&spec(&[])).await;
    let calling = bench.clone();
    let sleeper = tokio::spawn(async move { calling.call("sleep", json!({"ms": 400})).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    bench.ensure(&spec(&["--junk"])).await;
    bench.call("echo", json!({"text": "new"})).await.unwrap();
    sleeper.await.unwrap().unwrap();
}

#[tokio::test]
async fn removal_does_not_wait_for_a_replacement_or_a_restart() {
    for replace in [true, false] {
        let bench = bench();
        let pid = bench.ready(&spec(&[])).await;
        let Endpoint::Channel(channel) = bench.runtime.endpoint(&bench.name).await.unwrap() else {
            panic!("no channel");
        };
        let sleeper = tokio::spawn(async move { tool(&*channel, "sleep", json!({"ms": 20_000}), PATIENCE).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        if replace {
            bench.ensure(&spec(&["--junk"])).await;
        } else {
            RuntimeRestart::restart(&bench.runtime, &bench.name, Restart::Graceful)
                .await
                .unwrap();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let removal = tokio::time::timeout(Duration::from_secs(3), bench.runtime.remove(&bench.name));
        removal.await.expect("it does not wait for the call").unwrap();
        until("it is gone", async || !runs(pid)).await;
        assert!(sleeper.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn removal_ends_the_process_and_its_grandchildren() {
    let bench = bench();
    let file = bench.dir.path().join("pid");
    let pid = bench.ready(&spec(&["--grandchild", file.to_str().unwrap()])).await;
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let follow = LogQuery {
        follow: true,
        ..LogQuery::default()
    };
    let lines = tokio::spawn(RuntimeLogs::logs(&bench.runtime, &bench.name, follow).collect::<Vec<_>>());
    bench.runtime.remove(&bench.name).await.unwrap();
    assert!(!runs(pid));
    until("the grandchild is gone", async || !runs(grandchild)).await;
    tokio::time::timeout(PATIENCE, lines)
        .await
        .expect("a log that is followed ends")
        .unwrap();
}

#[tokio::test]
async fn dropping_the_runtime_kills_everything_though_a_channel_is_held() {
    let bench = bench();
    let file = bench.dir.path().join("pid");
    let pid = bench.ready(&spec(&["--grandchild", file.to_str().unwrap()])).await;
    let grandchild = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let endpoint = bench.runtime.endpoint(&bench.name).await.unwrap();
    let Endpoint::Channel(channel) = endpoint else {
        panic!("{endpoint:?}");
    };
    drop(bench.runtime);
    until("both are gone", async || !runs(pid) && !runs(grandchild)).await;
    let error = tool(&*channel, "echo", json!({}), PATIENCE).await.unwrap_err();
    assert!(matches!(error, Error::NotReady { failure, .. } if failure.kind == FailureKind::Stopped));
}

#[tokio::test]
async fn a_crash_loop_is_told_by_watch_and_endpoint() {
    let bench = bench();
    bench.ensure(&spec(&["--die-at-start", "5"])).await;
    let Status::Failed { failure } = bench.settled().await else {
        panic!("not failed");
    };
    assert_eq!(failure.kind, FailureKind::CrashLoop);
    assert!(failure.message.contains("exit code 5"));
    assert!(bench.runtime.endpoint(&bench.name).await.is_err());
    let log: Vec<_> = RuntimeLogs::logs(&bench.runtime, &bench.name, LogQuery::default())
        .collect()
        .await;
    assert_eq!(log[0].as_ref().unwrap().text, "fatal: planned death");
}

#[tokio::test]
async fn secrets_are_read_at_each_start() {
    let bench = bench();
    let key = CredentialKey::parse("install/x/token").unwrap();
    let mut spec = spec(&[]);
    spec.env.insert("TOKEN".into(), EnvValue::Secret(key.clone()));
    spec.files.insert("token".into(), EnvValue::Secret(key.clone()));
    bench.ensure(&spec).await;
    let Status::Failed { failure } = bench.settled().await else {
        panic!("started without its secret");
    };
    assert_eq!(failure.kind, FailureKind::Config);
    for secret in ["first-secret", "second-secret"] {
        bench
            .credentials
            .put(&key, Secret::new(secret), Precondition::None)
            .await
            .unwrap();
        RuntimeRestart::restart(&bench.runtime, &bench.name, Restart::Graceful)
            .await
            .unwrap();
        until("the new secret is there", async || {
            let seen = bench.call("env", json!({})).await.unwrap_or_default();
            seen["structuredContent"]["env"]["TOKEN"] == secret && seen["structuredContent"]["files"]["token"] == secret
        })
        .await;
    }
}

#[tokio::test]
async fn each_kind_of_restart_makes_another_process() {
    let bench = bench();
    let mut pid = bench.ready(&spec(&[])).await;
    for kind in [Restart::Graceful, Restart::FreshPull, Restart::Reset] {
        RuntimeRestart::restart(&bench.runtime, &bench.name, kind)
            .await
            .unwrap();
        until("another process", async || {
            bench.runtime.pid(&bench.name).is_some_and(|now| now != pid) && bench.settled().await == Status::Ready
        })
        .await;
        bench.call("echo", json!({})).await.unwrap();
        pid = bench.runtime.pid(&bench.name).unwrap();
    }
    let unknown = InstallName::new(&SystemClock);
    let missing = RuntimeRestart::restart(&bench.runtime, &unknown, Restart::Graceful).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_server_spoken_to_by_http_is_ready_when_it_listens() {
    let bench = bench();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let mut spec = spec(&[]);
    let script = "import http.server,sys; http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), \
                  http.server.SimpleHTTPRequestHandler).serve_forever()";
    spec.source = Source::Command {
        program: "python3".into(),
        args: vec!["-c".into(), script.into(), port.to_string()],
        transport: Transport::Http {
            port,
            path: "/mcp".into(),
        },
    };
    let mut config = config(&bench.dir);
    let python = std::process::Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let python = String::from_utf8(python.unwrap().stdout).unwrap();
    config.path = std::path::Path::new(python.trim()).parent().unwrap().into();
    let bench = Bench {
        runtime: ProcessRuntime::new(config, bench.credentials.clone()),
        ..bench
    };
    let pid = bench.ready(&spec).await;
    let endpoint = bench.runtime.endpoint(&bench.name).await.unwrap();
    let Endpoint::Http(http) = endpoint else {
        panic!("{endpoint:?}");
    };
    assert_eq!(http.url.as_str(), format!("http://127.0.0.1:{port}/mcp"));
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    bench.runtime.remove(&bench.name).await.unwrap();
    assert!(!runs(pid));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_as_such() {
    let bench = bench();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut spec = spec(&[]);
    if let Source::Command { transport, .. } = &mut spec.source {
        *transport = Transport::Http {
            port: taken.local_addr().unwrap().port(),
            path: "/mcp".into(),
        };
    }
    bench.ensure(&spec).await;
    let Status::Failed { failure } = bench.settled().await else {
        panic!("took somebody else for the server");
    };
    assert_eq!(failure.kind, FailureKind::Start);
}

#[tokio::test]
async fn what_can_never_run_here_is_refused_at_once() {
    let bench = bench();
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
        let refused = bench.runtime.ensure(&bench.name, &spec).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
    }
    assert!(bench.runtime.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn shutdown_ends_every_process() {
    let bench = bench();
    let file = bench.dir.path().join("pid");
    let mut apart = spec(&["--grandchild", file.to_str().unwrap()]);
    apart.sharing = Sharing::PerSession { max: 2 };
    let pid = bench.ready(&apart).await;
    let Endpoint::Channel(channel) = bench.runtime.endpoint(&bench.name).await.unwrap() else {
        panic!("no channel");
    };
    let request = request("env", &json!({}), PATIENCE).conversation("a");
    channel.call(request).await.unwrap().answer().await.unwrap();
    let begun = std::time::Instant::now();
    bench.runtime.shutdown(Duration::from_secs(10)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!runs(pid), "in order, and collected");
    assert_eq!(bench.runtime.list().await.unwrap(), []);
    let refused = bench.runtime.ensure(&bench.name, &apart).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
}

#[tokio::test]
async fn shutdown_kills_what_does_not_end_in_time() {
    let bench = bench();
    let pid = bench.ready(&spec(&["--linger"])).await;
    bench.runtime.shutdown(Duration::from_millis(200)).await.unwrap();
    assert!(!runs(pid));
}
