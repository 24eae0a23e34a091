//! A replica is killed while it holds state.

mod sealed;

use serde_json::json;

use crate::support::{
    client::{Client, ClientVersion},
    dialogue::{assert_lost, call, respond, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    replicas::Replicas,
    servers::notifying::NotifyingServer,
    servers::requesting::{CallReply, RequestingServer},
    upstreams::{Eras, everything, http},
};

const ELICITATION: &str = r#"{"elicitation":{}}"#;
const MULTI: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_identical() {
    let (one, two) = (everything(Eras::Legacy).await, everything(Eras::Modern).await);
    let mut replicas = Replicas::start(TestGateway::builder().server("two", two.url()).server("one", one.url())).await;
    for version in ClientVersion::EACH_ERA {
        let client = replicas.connect(version, "{}").await;
        for method in [
            "tools/list",
            "prompts/list",
            "resources/list",
            "resources/templates/list",
        ] {
            let post = client.request("1", method, "", "");
            let lists = [
                client.send(&post).await.json()["result"].clone(),
                client.at(replicas.second().address).send(&post).await.json()["result"].clone(),
            ];
            assert!(lists[0].to_string().len() > 100, "{}", lists[0]);
            assert_eq!(lists[0].to_string(), lists[1].to_string(), "{version:?} {method}");
        }
    }
    let client = replicas.connect(ClientVersion::V2026_07_28, "{}").await;
    let before = client.tools().await;
    replicas.kill_first();
    assert_eq!(replicas.route(&client).tools().await, before);
}

#[tokio::test]
async fn session_continues_elsewhere() {
    let server = RequestingServer::legacy().await;
    for version in [
        ClientVersion::V2025_03_26,
        ClientVersion::V2025_06_18,
        ClientVersion::V2025_11_25,
    ] {
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(version, ELICITATION).await;
        client.tool("up__ask", json!({"requests": 0, "tag": "t"})).await;
        replicas.kill_first();
        let there = replicas.route(&client);
        // What it can do came along.
        let mut incoming = there.begin(&there.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
        let request = incoming.json().await;
        assert_eq!(respond(&replicas.route(&client), &request).await, 202);
        assert_eq!(result_text(&incoming.json().await), "t:t");
        assert_eq!(replicas.route(&client).delete().await.status(), 204);
    }
}

#[tokio::test]
async fn upstream_session_is_reopened() {
    let server = NotifyingServer::start(false).await;
    for version in ClientVersion::EACH_ERA {
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(version, "{}").await;
        client.text("up__t", json!({})).await;
        let before = server.params_of("initialize").len();
        replicas.kill_first();
        assert_eq!(replicas.route(&client).text("up__t", json!({})).await, "done");
        assert!(server.params_of("initialize").len() > before);
        assert!(
            server.server.requests().iter().all(|request| request.verb != "DELETE"),
            "a kill says nothing"
        );
    }
}

#[tokio::test]
async fn response_reaches_legacy_server() {
    for server in [RequestingServer::legacy().await, RequestingServer::resumable().await] {
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(ClientVersion::V2025_11_25, ELICITATION).await;
        let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
        let request = incoming.json().await;
        replicas.kill_first();
        assert!(incoming.event().await.is_err(), "the stream breaks, and does not end");
        assert_eq!(respond(&replicas.route(&client), &request).await, 202);
        eventually("the server has it", || server.response("q1").is_some()).await;
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(server.calls(), 1, "it is not made again");
    }
}

#[tokio::test]
async fn out_of_band_response_is_refused() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let mut replicas = Replicas::with_server(server.url()).await;
    let client = replicas.connect(ClientVersion::V2025_11_25, ELICITATION).await;
    client.tools().await;
    let mut stream = client.stream().await;
    let call = client
        .send_only(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#))
        .await;
    let request = stream.json().await;
    replicas.kill_first();
    assert!(stream.event().await.is_err());
    assert_eq!(respond(&replicas.route(&client), &request).await, 503);
    assert_eq!(server.calls(), 1, "it is not made again");
    drop(call);
}

#[tokio::test]
async fn legacy_client_stream_breaks() {
    let server = RequestingServer::modern().await;
    let mut replicas = Replicas::with_server(server.url()).await;
    let client = replicas.connect(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let request = incoming.json().await;
    replicas.kill_first();
    assert!(incoming.event().await.is_err(), "the stream breaks, and does not end");
    assert_eq!(respond(&replicas.route(&client), &request).await, 503);
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn stateless_call_continues_elsewhere() {
    for server in [RequestingServer::resumable().await, RequestingServer::modern().await] {
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(ClientVersion::V2026_07_28, ELICITATION).await;
        let arguments = json!({"tag": "t", "rounds": 2});
        let first = call(&client, &arguments).await;
        let second = resume_call(&client, &arguments, &responses_to(&first)).await;
        replicas.kill_first();
        let message = resume_call(&replicas.route(&client), &arguments, &responses_to(&second)).await;
        assert_eq!(result_text(&message), "t:t,t");
        assert_eq!(server.calls(), 1);
    }
}

#[tokio::test]
async fn suspended_call_is_lost() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::out_of_band(CallReply::Events).await,
        RequestingServer::out_of_band(CallReply::Json).await,
    ] {
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(ClientVersion::V2026_07_28, ELICITATION).await;
        let arguments = json!({"tag": "t"});
        let asked = call(&client, &arguments).await;
        replicas.kill_first();
        for _ in 0..2 {
            assert_lost(&resume_call(&replicas.route(&client), &arguments, &responses_to(&asked)).await);
        }
        assert_eq!(server.calls(), 1);
    }
}

#[tokio::test]
async fn running_call_breaks_once() {
    let upstream = http(Eras::Both).await;
    for version in ClientVersion::EACH_ERA {
        let mut replicas = Replicas::with_server(upstream.url()).await;
        let client = replicas.connect(version, "{}").await;
        let post = client.call_with(
            "1",
            "up__progress",
            r#"{"steps":100000,"ms":3}"#,
            r#""progressToken":1"#,
        );
        let mut incoming = client.begin(&post).await;
        incoming.event().await.expect("a stream").expect("progress");
        let calls = upstream.counters().calls;
        replicas.kill_first();
        while let Ok(event) = incoming.event().await {
            assert!(event.is_some(), "it breaks, and does not end");
        }
        replicas.route(&client).text("up__echo", json!({"text": "x"})).await;
        assert_eq!(upstream.counters().calls, calls + 1, "the echo alone");
    }
}

#[tokio::test]
async fn survivor_sends_notifications() {
    for (version, modern) in [
        (ClientVersion::V2025_11_25, false),
        (ClientVersion::V2025_11_25, true),
        (ClientVersion::V2026_07_28, false),
        (ClientVersion::V2026_07_28, true),
    ] {
        let server = NotifyingServer::start(modern).await;
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(version, "{}").await;
        let filter = r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#;
        let mut stream = if version.is_modern() {
            client.listen("1", filter).await.0
        } else {
            assert_eq!(
                client
                    .call_method("resources/subscribe", r#""uri":"file:///a""#)
                    .await
                    .code(),
                0
            );
            client.stream().await
        };
        eventually("told", || server.resource_updated("file:///a") > 0).await;
        assert_eq!(stream.json().await["params"]["uri"], "file:///a");
        replicas.kill_first();
        while let Ok(Some(_)) = stream.event().await {}
        eventually("the server sees it", || server.streams() == 0).await;
        let there = replicas.route(&client);
        let mut stream = if version.is_modern() {
            there.listen("2", filter).await.0
        } else {
            // What it has subscribed to came along.
            there.stream().await
        };
        eventually("told by the other", || server.resource_updated("file:///a") > 0).await;
        assert_eq!(stream.json().await["params"]["uri"], "file:///a");
        server.set_tools(&["new"]);
        server.tools_changed();
        let mut seen = stream.json().await;
        while seen["method"] == "notifications/resources/updated" {
            seen = stream.json().await;
        }
        assert_eq!(seen["method"], "notifications/tools/list_changed");
        assert_eq!(there.tools().await, ["up__new"]);
    }
}

#[tokio::test]
async fn lost_call_accepts_cancellation() {
    for modern in [false, true] {
        let server = NotifyingServer::start(modern).await;
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = replicas.connect(ClientVersion::V2025_11_25, "{}").await;
        let call = client
            .send_only(&client.call("\"c\"", "up__t", r#"{"hold":true}"#))
            .await;
        eventually("the call is under way", || !server.params_of("tools/call").is_empty()).await;
        replicas.kill_first();
        let there = replicas.route(&client);
        assert_eq!(there.cancel("\"c\"").await.status(), 202);
        let again = there
            .begin(&there.call("\"c\"", "up__t", "{}"))
            .await
            .messages()
            .await
            .expect("whole");
        assert!(again.last().expect("an answer").contains("done"), "{again:?}");
        assert_eq!(server.params_of("tools/call").len(), 2);
        drop(call);
    }
}

/// A client that is turned away by nobody, however often replicas take turns.
#[tokio::test]
async fn round_robin_balancing_works() {
    let server = RequestingServer::legacy().await;
    let mut replicas = Replicas::with_server(server.url()).await;
    let clients = [
        replicas.connect(ClientVersion::V2026_07_28, ELICITATION).await,
        replicas.connect(ClientVersion::V2025_11_25, ELICITATION).await,
    ];
    let turns = async |replicas: &Replicas, client: &Client| {
        for number in 0..MULTI {
            let there = replicas.route(client);
            let tag = format!("t{number}");
            if client.version.is_modern() {
                let asked = call(&there, &json!({"tag": tag})).await;
                let message = resume_call(&replicas.route(client), &json!({"tag": tag}), &responses_to(&asked)).await;
                assert_eq!(result_text(&message), format!("{tag}:{tag}"));
            } else {
                let arguments = json!({"tag": tag}).to_string();
                let mut incoming = there
                    .begin(&there.call(&format!("\"{tag}\""), "up__ask", &arguments))
                    .await;
                let request = incoming.json().await;
                assert_eq!(respond(&replicas.route(client), &request).await, 202);
                assert_eq!(result_text(&incoming.json().await), format!("{tag}:{tag}"));
            }
        }
    };
    for client in &clients {
        turns(&replicas, client).await;
    }
    eventually("nothing waits", || {
        replicas.first().server_request_count() + replicas.second().server_request_count() == 0
    })
    .await;
    replicas.kill_first();
    for client in &clients {
        turns(&replicas, client).await;
    }
}
