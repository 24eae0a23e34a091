//! Faults of a server become typed failures, never a wrong response or half of one.

mod scripted;

use std::time::{Duration, Instant};

use portolan_fixtures::http::{Fault, Reply};
use portolan_gateway::GatewayConfig;
use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    eventually, eventually_async,
    gateway::TestGateway,
    raw::ConnectionBroken,
    upstreams::{Eras, HttpFixture, http, http_again},
};

/// A server of one era behind a gateway that has called it already.
async fn warm(eras: Eras, change: impl FnOnce(&mut GatewayConfig)) -> (HttpFixture, TestGateway) {
    let upstream = http(eras).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(change)
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        assert_eq!(client.text("up__echo", json!({"text": "warm"})).await, "warm");
    }
    (upstream, gateway)
}

/// The cause of a failed call, and whether it may be tried again.
#[track_caller]
fn failure(version: ClientVersion, answer: &Value) -> (String, bool) {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    assert_eq!(result.get("resultType").is_some(), version.is_modern(), "{answer}");
    assert!(
        result["content"][0]["text"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    let failure = &result["_meta"]["dev.portolan/failure"];
    let cause = failure["cause"]
        .as_str()
        .unwrap_or_else(|| panic!("no cause: {answer}"));
    (cause.to_owned(), failure["retryable"].as_bool().expect("a boolean"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_typed_failures() {
    let status = Fault::status;
    let faults = [
        (Fault::unauthorized("Bearer realm=\"theirs\""), "credential", false),
        (status(403), "credential", false),
        (status(500), "connection", true),
        (status(502), "connection", true),
        (status(503), "connection", true),
        (Fault::too_many(7), "connection", true),
        (Fault::redirect("http://127.0.0.1:1/elsewhere"), "config", false),
        (status(400), "protocol", false),
        (status(405), "protocol", false),
        (status(202), "protocol", false),
        (status(204), "protocol", false),
        (Fault::ContentType("text/html".into()), "protocol", false),
        (Fault::ContentType("application/jsonp".into()), "protocol", false),
        (Fault::Garbage, "protocol", false),
        (Fault::Body(String::new()), "protocol", false),
        (Fault::Body("[]".into()), "protocol", false),
        (Fault::Body("{}".into()), "protocol", false),
        (Fault::Body("null".into()), "protocol", false),
        (
            Fault::Body(r#"{"jsonrpc":"2.0","id":3,"result":5}"#.into()),
            "protocol",
            false,
        ),
        (
            Fault::Body(r#"{"jsonrpc":"2.0","result":{}}"#.into()),
            "protocol",
            false,
        ),
        (
            Fault::Body(r#"{"jsonrpc":"2.0","id":"other","result":{"content":[]}}"#.into()),
            "protocol",
            false,
        ),
        (
            Fault::Body(r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#.into()),
            "protocol",
            false,
        ),
        (Fault::WrongId, "protocol", false),
        (Fault::CloseBeforeHead, "connection", true),
        (Fault::CutBody { after: 0 }, "connection", true),
        (Fault::CutBody { after: 20 }, "connection", true),
        (Fault::HugeHeader { bytes: 2 << 20 }, "connection", true),
    ];
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, gateway) = warm(eras, |_| {}).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__echo", json!({"text": "before"})).await, "before");
            for (fault, cause, retryable) in &faults {
                let what = format!("{eras:?} {version:?} {fault:?}");
                upstream.fault(fault.clone()).on("tools/call").times(1).arm();
                let answer = client.send(&client.call("3", "up__echo", r#"{"text":"x"}"#)).await;
                assert_eq!(answer.status(), 200, "{what}: {answer:?}");
                assert_eq!(answer.head.get("www-authenticate"), None, "{what}");
                assert_eq!(answer.head.get("location"), None, "{what}");
                assert_eq!(answer.json()["id"], 3, "{what}");
                if matches!(fault, Fault::Body(body) if body.contains(r#""result":5"#))
                    && eras == Eras::Legacy
                    && !version.is_modern()
                {
                    continue;
                }
                assert_eq!(
                    failure(version, &answer.json()),
                    ((*cause).to_owned(), *retryable),
                    "{what}"
                );
                assert_eq!(
                    client.text("up__echo", json!({"text": "after"})).await,
                    "after",
                    "{what}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirect_is_named() {
    let upstream = scripted::redirecting("https://user:word@other.example.com/mcp/?token=secret#x").await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let answer = client.tool("up__t", json!({})).await;
        assert_eq!(failure(version, &answer), ("config".to_owned(), false), "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
        assert!(text.contains("https://other.example.com/mcp/ "), "{text}");
        assert!(!text.contains("secret") && !text.contains("word"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_stream_faults_are_typed() {
    let faults = [
        (Fault::Garbage, "connection"),
        (Fault::CutBody { after: 0 }, "connection"),
        (Fault::CutBody { after: 40 }, "connection"),
        (Fault::CloseBeforeHead, "connection"),
        (Fault::WrongId, "connection"),
        (Fault::Body("data: {\n\n".into()), "protocol"),
        (Fault::Body("data: hello\n\n".into()), "protocol"),
        (Fault::Body(": nothing\n\n".into()), "connection"),
        (Fault::Body(String::new()), "connection"),
    ];
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, gateway) = warm(eras, |_| {}).await;
        upstream.behave(|behaviour| behaviour.reply = Reply::Sse);
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            assert_eq!(client.text("up__echo", json!({"text": "before"})).await, "before");
            for (fault, cause) in &faults {
                let what = format!("{eras:?} {version:?} {fault:?}");
                upstream.fault(fault.clone()).on("tools/call").times(1).arm();
                let answer = client.tool("up__echo", json!({"text": "x"})).await;
                assert_eq!(failure(version, &answer).0, *cause, "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn truncated_response_is_failure() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, gateway) = warm(eras, |_| {}).await;
        for reply in [Reply::Json, Reply::Sse] {
            upstream.behave(|behaviour| behaviour.reply = reply);
            for version in ClientVersion::EACH_ERA {
                let client = gateway.connect(version).await;
                for after in [20_000, 500_000, 1_000_000] {
                    upstream.fault(Fault::CutBody { after }).on("tools/call").times(1).arm();
                    let incoming = client.begin(&client.call("1", "up__big", r#"{"bytes":1000000}"#)).await;
                    // Either the connection breaks, or a failure says so.
                    match incoming.messages().await {
                        Err(ConnectionBroken) => {}
                        Ok(messages) => {
                            let answer = serde_json::from_str(messages.last().expect("an answer")).expect("JSON");
                            assert_eq!(failure(version, &answer).0, "connection", "{eras:?} {reply:?} {after}");
                        }
                    }
                }
                assert_eq!(client.text("up__echo", json!({"text": "after"})).await, "after");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executed_call_is_never_repeated() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, gateway) = warm(eras, |_| {}).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            for (at, fault) in [
                Fault::CloseBeforeHead,
                Fault::CutBody { after: 0 },
                Fault::WrongId,
                Fault::Garbage,
            ]
            .into_iter()
            .enumerate()
            {
                let key = format!("{version:?}-{at}");
                upstream.fault(fault).on("tools/call").times(1).arm();
                failure(version, &client.tool("up__count", json!({"key": key})).await);
                assert_eq!(upstream.count(&key), 1, "{eras:?} {key}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unresponsive_server_times_out() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (upstream, gateway) = warm(eras, |config| config.timeouts.call = Duration::from_millis(150)).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            client.text("up__echo", json!({"text": "x"})).await;
            gateway.drain(Duration::from_secs(5)).await;
            upstream.clear_requests();
            let abandoned = upstream.counters().abandoned;
            let answer = client.tool("up__sleep", json!({"ms": 60_000})).await;
            assert_eq!(failure(version, &answer), ("timeout".into(), true));
            eventually("the server sees it", || {
                if eras == Eras::Legacy {
                    upstream.requests_of("notifications/cancelled").len() == 1
                } else {
                    upstream.counters().abandoned > abandoned
                }
            })
            .await;
            upstream.fault(Fault::NeverAnswer).on("tools/call").times(1).arm();
            assert_eq!(
                failure(version, &client.tool("up__echo", json!({"text": "x"})).await).0,
                "timeout"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_extends_timeout_bounded() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let (_upstream, gateway) = warm(eras, |config| {
            config.timeouts.call = Duration::from_millis(300);
            config.timeouts.call_total = Duration::from_millis(900);
        })
        .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let patient = client.call_with("1", "up__progress", r#"{"steps":8,"ms":60}"#, r#""progressToken":1"#);
            let endless = client.call_with("2", "up__progress", r#"{"steps":1000,"ms":60}"#, r#""progressToken":2"#);
            let since = Instant::now();
            let both = async |post| client.begin(post).await.messages().await.expect("a proper end");
            let (whole, ended) = tokio::join!(both(&patient), both(&endless));
            assert_eq!(whole.len(), 9);
            assert!(whole[8].contains("8 steps done"), "{whole:?}");
            let last: Value = serde_json::from_str(ended.last().expect("an answer")).expect("JSON");
            assert_eq!(failure(version, &last).0, "timeout");
            assert!(since.elapsed() < Duration::from_secs(5));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_server_recovers() {
    let upstream = http(Eras::Both).await;
    let address = upstream.address();
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        gateway
            .connect(version)
            .await
            .text("up__echo", json!({"text": "x"}))
            .await;
    }
    drop(upstream);
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        call_until_failed(version, &client).await;
    }
    let _again = http_again(address, Eras::Both).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        assert_eq!(client.text("up__echo", json!({"text": "back"})).await, "back");
    }
}

async fn call_until_failed(version: ClientVersion, client: &Client) {
    // Its connections end a moment after the server does.
    eventually_async("a call fails", async || {
        let answer = client.tool("up__echo", json!({"text": "x"})).await;
        let is_failed = answer["result"]["isError"] == true;
        if is_failed {
            assert_eq!(failure(version, &answer), ("connection".into(), true));
        }
        is_failed
    })
    .await;
}
