//! Calls: responses, notifications, timeouts.

use std::time::Duration;

use bytes::Bytes;
use portolan_core::{Channel, ChannelRequest, Error, ExchangeEvent, ProtocolEra, RpcResponse};
use serde_json::{Value, json};

use crate::support::{Ledger, TIMEOUT, fixture, request, serve, serve_command};

#[tokio::test]
async fn result_is_relayed_unchanged() {
    let served = serve([]);
    let params = Bytes::from_static(
        b"{\"name\":\"echo\",\n\"arguments\":{\"text\":\"h\\u00e4\",\"n\":1.0,  \"big\":12345678901234567890}}",
    );
    let exchange = served
        .server
        .call(ChannelRequest::new("tools/call", Some(params), TIMEOUT))
        .await
        .unwrap();
    let RpcResponse::Result(raw) = exchange.answer().await.unwrap() else {
        panic!("an error");
    };
    let text = String::from_utf8(raw.to_vec()).unwrap();
    assert!(
        text.contains(r#""structuredContent":{"text":"h\u00e4","n":1.0,  "big":12345678901234567890}"#),
        "{text}"
    );
}

#[tokio::test]
async fn errors_are_responses() {
    let served = serve([]);
    assert_eq!(served.tool("fail", json!({})).await.unwrap()["isError"], true);
    let error = served.tool("rpc_error", json!({})).await.unwrap();
    assert_eq!(
        (&error["error"]["code"], &error["error"]["data"]["planned"]),
        (&json!(-32050), &json!(true))
    );
    assert_eq!(served.text("add", json!({"a": 1, "b": 2})).await, "3");
}

#[tokio::test]
async fn list_is_paged() {
    let served = serve(["--page-size", "5"]);
    let (mut names, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let params = cursor
            .take()
            .map(|cursor| Bytes::from(json!({"cursor": cursor}).to_string()));
        let request = ChannelRequest::new("tools/list", params, TIMEOUT);
        let RpcResponse::Result(raw) = served.server.call(request).await.unwrap().answer().await.unwrap() else {
            panic!("an error");
        };
        let page: Value = serde_json::from_slice(&raw).unwrap();
        names.extend(
            page["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(|tool| tool["name"].to_string()),
        );
        match page["nextCursor"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 13);
}

#[tokio::test]
async fn era_is_detected_or_pinned() {
    for (era, pin, modern) in [
        ("both", ProtocolEra::Auto, true),
        ("modern", ProtocolEra::Auto, true),
        ("legacy", ProtocolEra::Auto, false),
        ("both", ProtocolEra::Legacy, false),
        ("both", ProtocolEra::Modern, true),
    ] {
        let served = serve_command(fixture(["--era", era]).with_era(pin), |_| {});
        let hello = served.server.handshake().await.unwrap();
        let version = if modern { "2026-07-28" } else { "2025-11-25" };
        assert_eq!(
            (hello.modern, hello.version.as_str()),
            (modern, version),
            "{era} {pin:?}"
        );
        assert_eq!(hello.capabilities, r#"{"tools":{"listChanged":true}}"#);
        assert_eq!(hello.instructions.as_deref(), Some("a fixture"));
        assert!(
            hello
                .server_info
                .is_some_and(|info| info.starts_with(b"{\"name\":\"stdio-fixture\""))
        );
        assert_eq!(hello.generation, 1);
    }
}

#[tokio::test]
async fn progress_reaches_its_caller() {
    let served = serve([]);
    // Both callers chose the same token, one of them as a text.
    let calls = [r#""t""#, "7", "7"].map(|token| {
        let params = format!(
            r#"{{"name":"progress","arguments":{{"steps":5,"ms":10}},"_meta":{{"progressToken":{token},"keep":1}}}}"#
        );
        (token, ChannelRequest::new("tools/call", Some(params.into()), TIMEOUT))
    });
    let silent = served.begin("progress", json!({"steps": 5, "ms": 10})).await;
    let mut exchanges = Vec::new();
    for (token, request) in calls {
        exchanges.push((token, served.server.call(request).await.unwrap()));
    }
    for (token, mut exchange) in exchanges {
        let mut steps = Vec::new();
        loop {
            match exchange.next().await.unwrap() {
                ExchangeEvent::Notification(notification) => {
                    assert_eq!(&*notification.method, "notifications/progress");
                    let params = String::from_utf8(notification.params.unwrap().to_vec()).unwrap();
                    assert!(params.contains(&format!("\"progressToken\":{token},")), "{params}");
                    let params: Value = serde_json::from_str(&params).unwrap();
                    steps.push(params["progress"].as_u64().unwrap());
                }
                ExchangeEvent::Response(answer) => {
                    answer.unwrap();
                    break;
                }
                _ => unreachable!("a new kind of event"),
            }
        }
        assert_eq!(steps, [1, 2, 3, 4, 5]);
        assert!(exchange.next().await.is_none());
    }
    silent.answer().await.unwrap();
}

#[tokio::test]
async fn dropped_exchange_cancels_call() {
    let ledger = Ledger::new();
    let served = serve(["--ledger", ledger.path()]);
    let exchange = served.begin("sleep", json!({"ms": 20_000})).await;
    // The server has it: calls are written in order.
    served.text("echo", json!({"text": "x"})).await;
    drop(exchange);
    ledger.cancelled("the caller has gone").await;
    assert_eq!(served.text("echo", json!({"text": "on"})).await, "on");
}

#[tokio::test]
async fn timeout_cancels_call() {
    let ledger = Ledger::new();
    let served = serve(["--mute", "--ledger", ledger.path()]);
    served.server.handshake().await.unwrap();
    let call = request("echo", &json!({}), Duration::from_millis(300));
    let error = served.server.call(call).await.unwrap().answer().await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout { after, .. } if after == Duration::from_millis(300)),
        "{error}"
    );
    assert!(error.to_string().contains("tools/call"), "{error}");
    ledger.cancelled("timed out").await;
}

#[tokio::test]
async fn deadlines_are_independent() {
    let served = serve([]);
    served.server.handshake().await.unwrap();
    let begun = std::time::Instant::now();
    let calls = [3000u64, 500, 1500].map(async |ms| {
        let call = request("sleep", &json!({"ms": 20_000}), Duration::from_millis(ms));
        let error = served.server.call(call).await.unwrap().answer().await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }));
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
        assert!((ms..ms + 900).contains(&took), "{ms} took {took}");
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn notifications_reach_all_subscribers() {
    let served = serve([]);
    let mut listeners = [served.server.notifications(), served.server.notifications()];
    served
        .text("notify", json!({"method": "notifications/tools/list_changed"}))
        .await;
    for listener in &mut listeners {
        let heard = listener.recv().await.unwrap();
        assert_eq!(&*heard.method, "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn ping_is_answered_others_refused() {
    let served = serve([]);
    let pong = served.text("ask", json!({"method": "ping"})).await;
    assert!(pong.contains(r#""result":{}"#), "{pong}");
    let refused = served.text("ask", json!({"method": "roots/list"})).await;
    assert!(refused.contains("-32601"), "{refused}");
}
