//! Errors of callers and of the server.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use http::Request;
use http_body_util::Full;
use serde_json::json;

use super::{
    client::{get, modern, send, whole},
    process::{Bridge, TOKEN},
};
use crate::support::{Ledger, eventually};

#[tokio::test]
async fn token_is_needed_except_for_health() {
    let bridge = Bridge::of_fixture(&[]).await;
    let message = modern("tools/list", json!({})).to_string();
    for (authorization, status) in [
        (Some(format!("Bearer {TOKEN}")), 406),
        (Some("Bearer x".into()), 401),
        (Some(TOKEN.into()), 401),
        (None, 401),
    ] {
        let mut request = Request::post("/mcp")
            .header("host", "x")
            .header("content-type", "application/json");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        let request = request.body(Full::from(message.clone())).unwrap();
        let answer = whole(send(bridge.port, request).await.unwrap().0).await.unwrap();
        assert_eq!(answer.status.as_u16(), status);
    }
    assert_eq!(get(bridge.port, "/healthz").await.unwrap().json()["status"], "ready");
    assert_eq!(get(bridge.port, "/mcp").await.unwrap().status, 401);
}

#[tokio::test]
async fn requests_that_are_none_are_refused() {
    let bridge = Bridge::of_fixture(&[]).await;
    let with = |change: &dyn Fn(&mut Request<Full<bytes::Bytes>>)| {
        let mut request = bridge.client().request("POST", Some(&modern("tools/list", json!({}))));
        change(&mut request);
        async { send(bridge.port, request).await.unwrap().0.status().as_u16() }
    };
    assert_eq!(with(&|_| {}).await, 200);
    assert_eq!(with(&|request| *request.body_mut() = Full::from("{")).await, 400);
    assert_eq!(with(&|request| *request.body_mut() = Full::from("[]")).await, 400);
    assert_eq!(
        with(&|request| *request.body_mut() = Full::from(vec![b' '; (16 << 20) + 1])).await,
        413
    );
    assert_eq!(
        with(&|request| *request.uri_mut() = "/other".parse().unwrap()).await,
        404
    );
    assert_eq!(with(&|request| *request.method_mut() = http::Method::PUT).await, 405);
    for (name, value, status) in [
        ("content-type", "text/plain", 415),
        ("accept", "application/json", 406),
        ("origin", "http://evil.example", 403),
        ("mcp-method", "tools/call", 400),
    ] {
        let set = |request: &mut Request<Full<bytes::Bytes>>| {
            request.headers_mut().insert(name, value.parse().unwrap());
        };
        assert_eq!(with(&set).await, status, "{name}");
    }
}

#[tokio::test]
async fn server_environment_has_no_token() {
    let bridge = Bridge::of_fixture(&[]).await;
    let message = modern("tools/call", json!({"name": "env", "arguments": {}}));
    let answer = bridge.client().post(&message).await;
    assert!(!String::from_utf8_lossy(&answer.body).contains(TOKEN));
    let seen = &answer.json()["result"]["structuredContent"];
    assert_eq!(seen["env"]["GIVEN"], "as it is");
    assert!(seen["env"]["PATH"].as_str().unwrap().contains("/bin"));
}

#[tokio::test]
async fn server_stderr_is_copied() {
    let bridge = Bridge::of_fixture(&[]).await;
    let message = modern(
        "tools/call",
        json!({"name": "stderr", "arguments": {"text": "a line of the server"}}),
    );
    bridge.client().post(&message).await;
    bridge.writes("a line of the server").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_under_load_recovers() {
    let ledger = Ledger::new();
    let bridge = Bridge::of_fixture(&["--era", "modern", "--ledger", ledger.path()]).await;
    let enough = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU32::new(0));
    let callers = (0..32u32).map(|caller| {
        let (client, enough, answered) = (bridge.client(), enough.clone(), answered.clone());
        tokio::spawn(async move {
            let (mut done, mut failed) = (0u32, 0u32);
            for number in 0u32.. {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let key = format!("{caller}/{number}");
                let message = modern("tools/call", json!({"name": "count", "arguments": {"key": key}}));
                let answer = client.post(&message).await;
                match answer.status.as_u16() {
                    200 => {
                        assert_eq!(answer.json()["result"]["content"][0]["text"], "1", "{key}");
                        done += 1;
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    502 | 503 => {
                        let failure = &answer.json()["error"]["data"]["failure"];
                        assert_eq!(failure["cause"], "exited", "{failure}");
                        assert!(failure["message"].as_str().unwrap().contains("signal 9"), "{failure}");
                        failed += 1;
                    }
                    other => panic!("{other}: {answer:?}"),
                }
            }
            (done, failed)
        })
    });
    let callers: Vec<_> = callers.collect();
    let more_answers = async || {
        let wanted = answered.load(Ordering::Relaxed) + 64;
        eventually("calls are answered", async || {
            answered.load(Ordering::Relaxed) >= wanted
        })
        .await;
    };
    for kill in 1..=2 {
        more_answers().await;
        let client = bridge.client();
        let sleep = modern("tools/call", json!({"name": "sleep", "arguments": {"ms": 20_000}}));
        let sleeper = tokio::spawn(async move { client.post(&sleep).await.status });
        ledger.begun(kill).await;
        bridge.kill_server();
        assert_eq!(sleeper.await.unwrap(), 502);
    }
    more_answers().await;
    enough.store(true, Ordering::Relaxed);
    let (mut done, mut failed) = (0, 0);
    for caller in callers {
        let (well, badly) = caller.await.unwrap();
        (done, failed) = (done + well, failed + badly);
    }
    assert!(failed <= 64, "a kill hits what is under way and nothing else: {failed}");
    let ledger = ledger.text();
    let mut counted: Vec<_> = ledger.lines().filter_map(|line| line.strip_prefix("count ")).collect();
    let lines = counted.len();
    counted.sort_unstable();
    counted.dedup();
    assert_eq!(lines, counted.len(), "a call was sent twice");
    println!("{done} answered, {failed} failed, {lines} ran");
    let message = modern("tools/call", json!({"name": "echo", "arguments": {"text": "on"}}));
    assert_eq!(bridge.client().post(&message).await.status, 200);
}

#[tokio::test]
async fn session_survives_restart() {
    let bridge = Bridge::of_fixture(&["--era", "legacy"]).await;
    let mut client = bridge.client();
    client.initialize().await;
    let crashed = client.tool(1, "crash", json!({"code": 4})).await;
    assert_eq!(crashed.status, 502);
    assert!(
        crashed.json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("exit code 4"),
        "{crashed:?}"
    );
    assert_eq!(client.tool(2, "echo", json!({"text": "x"})).await.status, 200);
}
