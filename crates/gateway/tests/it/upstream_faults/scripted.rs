//! Faults in the middle of a stream of events, of servers that a script makes.

use serde_json::{Value, json};

use super::failure;
use crate::support::{
    client::ClientVersion,
    eventually,
    gateway::TestGateway,
    servers::{Reply, Request, ScriptedServer, legacy, modern, scripted},
    upstreams::Eras,
};

fn legacy_only(request: &Request) -> Option<Reply> {
    if request.method() == "server/discover" {
        return Some(Reply::new(400, "text/plain", "no session"));
    }
    legacy(request)
}

/// A server that redirects everything.
pub(super) async fn redirecting(to: &'static str) -> ScriptedServer {
    scripted(move |_| Reply::status(308).with_header("location", to)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failure_follows_progress() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = scripted(move |request| {
            let usual = if eras == Eras::Modern { modern(request) } else { legacy_only(request) };
            usual.unwrap_or_else(|| {
                let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;
                let event = format!("data: {progress}\n\n");
                Reply::Raw(format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{event}\r\n", event.len()).into_bytes())
            })
        })
        .await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let incoming = client
                .begin(&client.call_with("5", "up__t", "{}", r#""progressToken":1"#))
                .await;
            let messages = incoming.messages().await.expect("a proper end");
            assert_eq!(messages.len(), 2, "{messages:?}");
            let answer: Value = serde_json::from_str(&messages[1]).expect("JSON");
            assert_eq!(answer["id"], 5);
            assert_eq!(failure(version, &answer), ("connection".into(), true));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mid_call_requests_are_answered() {
    let upstream = scripted(|request| {
        legacy_only(request).unwrap_or_else(|| match request.method() {
            "tools/call" => {
                let id = request.id();
                let events = [
                    r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#.to_owned(),
                    r#"{"jsonrpc":"2.0","id":"s","method":"sampling/createMessage","params":{}}"#.into(),
                    r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.into(),
                    r#"{"jsonrpc":"2.0","id":"nobody","result":{"content":[]}}"#.into(),
                    format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"done"}}]}}}}"#
                    ),
                    format!(
                        r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"twice"}}]}}}}"#
                    ),
                ];
                let body: String = events
                    .iter()
                    .map(|event| format!("event: message\ndata: {event}\n\n"))
                    .collect();
                Reply::new(200, "text/event-stream", body)
            }
            _ => Reply::status(202),
        })
    })
    .await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let messages = client
            .begin(&client.call("1", "up__t", "{}"))
            .await
            .messages()
            .await
            .expect("whole");
        assert_eq!(messages.len(), 1, "{messages:?}");
        assert!(messages[0].contains("done"));
        let replies = || {
            upstream
                .requests()
                .into_iter()
                .filter(|request| request.body.get("method").is_none() && request.verb == "POST")
                .collect::<Vec<_>>()
        };
        eventually("answered", || replies().len() >= 2).await;
        let replies = replies();
        let of = |id: &str| {
            replies
                .iter()
                .find(|reply| reply.body["id"] == id)
                .expect("a reply")
                .body
                .clone()
        };
        assert_eq!(of("p")["result"], json!({}));
        assert_eq!(of("s")["error"]["code"], -32601);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_input_request_retries_bounded() {
    let upstream = scripted(|request| {
        modern(request).unwrap_or_else(|| {
            Reply::result(
                request,
                r#"{"resultType":"input_required","inputRequests":{},"requestState":"s"}"#,
            )
        })
    })
    .await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.limits.rounds = 2)
        .start()
        .await;
    let modern = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(
        modern.tool("up__t", json!({})).await["result"]["resultType"],
        "input_required"
    );
    let before = upstream.count_of("tools/call");
    let legacy = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(
        failure(ClientVersion::V2025_11_25, &legacy.tool("up__t", json!({})).await).0,
        "overloaded"
    );
    assert_eq!(upstream.count_of("tools/call") - before, 3);
}
