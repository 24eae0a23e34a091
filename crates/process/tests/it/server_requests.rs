//! Requests of a legacy server in the middle of calls.

use bytes::Bytes;
use portolan_core::{Channel, Exchange, ExchangeEvent, ProtocolEra, RpcResponse, ServerRequestPolicy};
use serde_json::{Value, json};

use crate::support::{TIMEOUT, TestServer, fixture, request, serve_command};

fn legacy(server_requests: ServerRequestPolicy) -> TestServer {
    serve_command(
        fixture(["--era", "legacy"])
            .with_era(ProtocolEra::Legacy)
            .with_server_requests(server_requests),
        |_| {},
    )
}

async fn ask(served: &TestServer, requester_key: &str, method: &str) -> Exchange {
    let request = request("ask", &json!({"method": method}), TIMEOUT).requester_key(requester_key);
    served.server.call(request).await.unwrap()
}

/// Responds to each server request with `result`. Returns their number and the text of the tool's result.
async fn converse(mut exchange: Exchange, result: &str) -> (usize, String) {
    let mut questions = 0;
    loop {
        match exchange.next().await.unwrap() {
            ExchangeEvent::ServerRequest(question) => {
                questions += 1;
                exchange.respond(question.key, RpcResponse::Result(Bytes::from(result.to_owned())));
            }
            ExchangeEvent::Response(answer) => {
                let RpcResponse::Result(raw) = answer.unwrap() else {
                    panic!("an error");
                };
                let value: Value = serde_json::from_slice(&raw).unwrap();
                return (questions, value["content"][0]["text"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn permitted_requests_are_delivered() {
    for method in ["elicitation/create", "sampling/createMessage", "roots/list"] {
        let served = legacy(ServerRequestPolicy::ALL);
        let (questions, told) = converse(ask(&served, "a", method).await, r#"{"mine":[1,2]}"#).await;
        assert_eq!(questions, 1, "{method}");
        assert!(told.contains(r#""result":{"mine":[1,2]}"#), "{told}");
    }
    let served = legacy(ServerRequestPolicy::default());
    for (method, allowed) in [
        ("elicitation/create", 1),
        ("sampling/createMessage", 0),
        ("roots/list", 0),
        ("x/y", 0),
    ] {
        let (questions, told) = converse(ask(&served, "a", method).await, "{}").await;
        assert_eq!(
            (questions, told.contains("-32601")),
            (allowed, allowed == 0),
            "{method}: {told}"
        );
    }
}

#[tokio::test]
async fn concurrent_requesters_are_not_asked() {
    let served = legacy(ServerRequestPolicy::ALL);
    let sleeper = request("sleep", &json!({"ms": 20_000}), TIMEOUT).requester_key("b");
    let sleeper = served.server.call(sleeper).await.unwrap();
    let (questions, told) = converse(ask(&served, "a", "elicitation/create").await, "{}").await;
    assert_eq!(questions, 0);
    assert!(
        told.contains("-32603") && told.contains("no client can be asked"),
        "{told}"
    );
    drop(sleeper);
    let served = legacy(ServerRequestPolicy::ALL);
    for requester_key in ["a", "b"] {
        let (questions, _) = converse(ask(&served, requester_key, "elicitation/create").await, "{}").await;
        assert_eq!(questions, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_get_own_responses() {
    let served = legacy(ServerRequestPolicy::ALL);
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(ask(&served, "a", "elicitation/create").await);
    }
    // A question may come to any of the calls, so all of them have to be read.
    let ended = futures_util::future::join_all(calls.into_iter().map(|call| converse(call, r#"{"ok":true}"#))).await;
    assert_eq!(ended.iter().map(|(questions, _)| questions).sum::<usize>(), 12);
    assert!(
        ended.iter().all(|(_, told)| told.contains(r#""result":{"ok":true}"#)),
        "{ended:?}"
    );
}

#[tokio::test]
async fn unlimited_timeout() {
    let served = serve_command(fixture([]), |_| {});
    let mut call = request("sleep", &json!({"ms": 300}), std::time::Duration::MAX);
    call.requester_key = Some("a".into());
    served.server.call(call).await.unwrap().answer().await.unwrap();
}
