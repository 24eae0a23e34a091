//! Servers that forget their sessions, and say so in one of the ways that are usual.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    client::ClientVersion,
    eventually,
    gateway::TestGateway,
    servers::forgetful::{ForgetfulServer, Refusal},
};

const fn json_refusal(status: u16, body: &'static str) -> Refusal {
    let content_type = "application/json";
    Refusal {
        status,
        content_type,
        body,
    }
}

/// What the SDKs and their copies say to a session that they do not know.
const REFUSALS: [Refusal; 6] = [
    json_refusal(
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
    ),
    json_refusal(
        400,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"no session"}}"#,
    ),
    json_refusal(
        400,
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
    ),
    json_refusal(
        404,
        r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Session not found"}}"#,
    ),
    Refusal {
        status: 400,
        content_type: "text/plain",
        body: "Invalid or missing session ID",
    },
    Refusal {
        status: 410,
        content_type: "text/plain",
        body: "",
    },
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_session_is_reopened_for_calls() {
    for refusal in REFUSALS {
        let upstream = ForgetfulServer::start(refusal).await;
        let gateway = TestGateway::requesting(upstream.url()).start().await;
        for version in ClientVersion::ALL {
            for capabilities in ["{}", r#"{"elicitation":{}}"#] {
                let client = gateway.connect_with(version, capabilities).await;
                assert_eq!(client.text("up__t", json!({"key": "before"})).await, "done");
                upstream.restart();
                let opened = upstream.opened();
                let key = format!("{version:?}{capabilities}");
                let answer = client.text("up__t", json!({"key": key})).await;
                assert_eq!(answer, "done", "{refusal:?} {key}");
                assert_eq!(upstream.executed(&key), 1, "{refusal:?} {key}");
                assert_eq!(upstream.opened(), opened + 1, "{refusal:?} {key}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_session_is_reopened_for_lists() {
    for refusal in REFUSALS {
        let upstream = ForgetfulServer::start(refusal).await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| config.timeouts.list_age = Duration::ZERO)
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            assert_eq!(client.tools().await, ["up__t"]);
            upstream.restart();
            for (method, member) in [
                ("prompts/list", "prompts"),
                ("resources/list", "resources"),
                ("tools/list", "tools"),
            ] {
                let list = client.result_of(method, json!({})).await;
                assert_eq!(list[member].as_array().map(Vec::len), Some(1), "{refusal:?} {list}");
                assert!(list["_meta"]["dev.portolan/failure"].is_null(), "{refusal:?} {list}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_session_is_reopened_for_listens() {
    for refusal in REFUSALS {
        let upstream = ForgetfulServer::start(refusal).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        let modern = gateway.connect(ClientVersion::V2026_07_28).await;
        let legacy = gateway.connect(ClientVersion::V2025_11_25).await;
        let (mut listen, _) = modern.listen("1", r#""toolsListChanged":true"#).await;
        let mut stream = legacy.stream().await;
        eventually("the server is followed", || upstream.streams() > 0).await;
        upstream.restart();
        eventually("the server is followed again", || upstream.streams() > 0).await;
        upstream.tools_changed();
        for events in [&mut listen, &mut stream] {
            let told = events.json().await;
            assert_eq!(told["method"], "notifications/tools/list_changed", "{refusal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_of_a_call_keeps_the_session() {
    use crate::support::servers::{Reply, legacy, scripted};
    let refusals = [
        (
            400,
            r#"{"jsonrpc":"2.0","id":ID,"error":{"code":-32602,"message":"no"}}"#,
        ),
        (
            400,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}"#,
        ),
        (400, "<html>Bad Request</html>"),
    ];
    for (status, body) in refusals {
        let upstream = scripted(move |request| match request.method() {
            "server/discover" => Reply::new(400, "text/plain", "no session"),
            "tools/call" => Reply::new(status, "application/json", body.replace("ID", &request.id())),
            "ping" => Reply::result(request, "{}"),
            "initialize" => legacy(request).expect("a reply").with_header("mcp-session-id", "s1"),
            _ => legacy(request).unwrap_or_else(|| Reply::status(405)),
        })
        .await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            client.tool("up__t", json!({})).await;
            let (opened, calls) = (upstream.count_of("initialize"), upstream.count_of("tools/call"));
            client.tool("up__t", json!({})).await;
            assert_eq!(upstream.count_of("initialize"), opened, "{body}");
            assert_eq!(upstream.count_of("tools/call"), calls + 1, "{body}");
        }
    }
}
