//! Requests of servers to clients in the middle of a call, in all four pairings of eras.

mod channel;
mod large;
mod out_of_band_legacy;
mod out_of_band_modern;
mod replicas;
mod suspended;

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::json;

use crate::support::{
    client::ClientVersion,
    dialogue::{call, complete, respond, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    servers::requesting::RequestingServer,
};

const ALL_CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

#[tokio::test]
async fn requests_work_in_all_pairings() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        for version in [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
        ] {
            let client = gateway.connect_with(version, ALL_CAPABILITIES).await;
            for (requests, rounds) in [(1, 1), (3, 1), (1, 3), (2, 2)] {
                let arguments = json!({"tag": "t", "requests": requests, "rounds": rounds});
                let message = complete(&client, &client, arguments).await;
                let said = vec!["t"; requests * rounds].join(",");
                assert_eq!(result_text(&message), format!("t:{said}"), "{version:?}");
            }
            for (method, said) in [("sampling/createMessage", "sampled"), ("roots/list", "rooted")] {
                let message = complete(&client, &client, json!({"tag": "t", "method": method})).await;
                assert_eq!(result_text(&message), format!("t:{said}"), "{version:?}");
            }
        }
        assert_eq!(gateway.server_request_count(), 0);
        assert_eq!(server.unexpected_responses(), 0);
        let calls = 3 * 6;
        assert_eq!(server.calls(), calls, "no call was made again");
    }
}

#[tokio::test]
async fn only_allowed_capabilities_are_declared() {
    for server in [RequestingServer::legacy().await, RequestingServer::modern().await] {
        let mut asks = ServerRequestPolicy::default();
        asks.sampling = true;
        let gateway = TestGateway::requesting(server.url())
            .server_requests(asks)
            .start()
            .await;
        for version in [ClientVersion::V2025_11_25, ClientVersion::V2026_07_28] {
            let client = gateway
                .connect_with(version, r#"{"elicitation":{},"roots":{},"sampling":{}}"#)
                .await;
            complete(&client, &client, json!({"tag": "t"})).await;
            let told = server.declared_capabilities();
            assert_eq!(told, json!({"elicitation": {}, "sampling": {}}), "{version:?}");
        }
    }
}

#[tokio::test]
async fn incapable_client_gets_no_request() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let message = client.tool("up__ask", json!({"tag": "t"})).await;
        assert!(result_text(&message).contains("-32601"), "{message}");
    }
}

#[tokio::test]
async fn unsolicited_response_is_refused() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let other = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let bob = gateway.client(ClientVersion::V2025_11_25).token("bob-token");
    let mut bob = bob;
    bob.capabilities = ALL_CAPABILITIES.into();
    bob.handshake().await;
    let mut incoming = client
        .begin(&client.call("1", "up__ask", &json!({"tag": "t"}).to_string()))
        .await;
    let request = incoming.json().await;
    for stranger in [&other, &bob] {
        assert_eq!(respond(stranger, &request).await, 400);
    }
    let mut forged = request.clone();
    let id = request["id"].as_str().expect("a text");
    for at in (0..id.len()).step_by(7) {
        let mut odd = id.as_bytes().to_vec();
        odd[at] = if odd[at] == b'A' { b'B' } else { b'A' };
        forged["id"] = String::from_utf8(odd).expect("ASCII").into();
        assert_eq!(respond(&client, &forged).await, 400);
    }
    assert_eq!(respond(&client, &request).await, 202);
    assert_eq!(result_text(&incoming.json().await), "t:t");
    assert_eq!(server.unexpected_responses(), 0);
    // Once more: nobody waits, and the server takes no second answer.
    respond(&client, &request).await;
}

#[tokio::test]
async fn client_error_cancels_only_request() {
    let server = RequestingServer::modern().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let mut incoming = client
        .begin(&client.call("1", "up__ask", &json!({"tag": "t"}).to_string()))
        .await;
    let request = incoming.json().await;
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -1, "message": "no"}});
    assert_eq!(client.send(&client.post(body.to_string())).await.status(), 202);
    assert_eq!(result_text(&incoming.json().await), "t:cancel");
    let mut incoming = client
        .begin(&client.call("2", "up__ask", &json!({"tag": "t", "method": "roots/list"}).to_string()))
        .await;
    let request = incoming.json().await;
    let body = json!({"jsonrpc": "2.0", "id": request["id"], "error": {"code": -1, "message": "no"}});
    client.send(&client.post(body.to_string())).await;
    assert_eq!(incoming.json().await["result"]["isError"], true);
    eventually("nothing waits", || gateway.server_request_count() == 0).await;
}

#[tokio::test]
async fn waiting_ends_by_cancel_or_timeout() {
    let server = RequestingServer::modern().await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| {
            config.timeouts.server_request = Duration::from_millis(300);
            config.timeouts.keep_alive = Duration::from_millis(50);
        })
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let mut incoming = client
        .begin(&client.call("1", "up__ask", &json!({"tag": "t"}).to_string()))
        .await;
    let request = incoming.json().await;
    assert_eq!(client.cancel("1").await.status(), 202);
    let taken_back = incoming.json().await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], request["id"]);
    assert_eq!(incoming.event().await.expect("whole"), None);
    let mut incoming = client
        .begin(&client.call("2", "up__ask", &json!({"tag": "t"}).to_string()))
        .await;
    incoming.json().await;
    assert_eq!(incoming.json().await["method"], "notifications/cancelled");
    let late = incoming.json().await;
    assert_eq!(late["result"]["_meta"]["dev.portolan/failure"]["cause"], "timeout");
    eventually("nothing waits", || gateway.server_request_count() == 0).await;
}

#[tokio::test]
async fn rounds_are_bounded() {
    for server in [RequestingServer::legacy().await, RequestingServer::modern().await] {
        let gateway = TestGateway::requesting(server.url())
            .config(|config| config.limits.rounds = 3)
            .start()
            .await;
        for version in [ClientVersion::V2025_11_25, ClientVersion::V2026_07_28] {
            // A legacy server may ask as often as it likes within a call, and what modern peers agree on is theirs.
            if version.is_modern() == server.is_modern() {
                continue;
            }
            let client = gateway.connect_with(version, ALL_CAPABILITIES).await;
            let message = complete(&client, &client, json!({"tag": "t", "rounds": 9})).await;
            assert_eq!(message["result"]["isError"], true, "{message}");
        }
        eventually("nothing waits", || gateway.server_request_count() == 0).await;
    }
}

#[tokio::test]
async fn url_elicitation_required() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let arguments = json!({"method": "visit-first"});
    let again = || server.forget_visit();
    let modern_client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let asked = call(&modern_client, &arguments).await;
    let (_, page) = asked["result"]["inputRequests"]
        .as_object()
        .and_then(|all| all.iter().next())
        .expect("a page");
    assert_eq!(
        page["params"],
        json!({"mode": "url", "url": "https://example.com/visit", "message": "please"})
    );
    assert_eq!(
        result_text(&resume_call(&modern_client, &arguments, &responses_to(&asked)).await),
        "visited"
    );
    again();
    let november = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let post = november.call("1", "up__ask", &arguments.clone().to_string());
    assert_eq!(november.send(&post).await.code(), -32042);
    for version in [ClientVersion::V2025_06_18, ClientVersion::V2026_07_28] {
        again();
        let unable = gateway.connect_with(version, r#"{"elicitation":{}}"#).await;
        let message = unable.tool("up__ask", arguments.clone()).await;
        assert!(result_text(&message).contains("https://example.com/visit"), "{message}");
    }
}

#[tokio::test]
async fn closed_upstream_stream_is_resumed() {
    let server = RequestingServer::resumable().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    // A client of 2025-11-25 is told to come back by itself.
    for version in [ClientVersion::V2025_06_18, ClientVersion::V2026_07_28] {
        for requests in [0, 1] {
            let client = gateway.connect_with(version, ALL_CAPABILITIES).await;
            let arguments = json!({"tag": "t", "polls": true, "progress": true, "requests": requests});
            let before = server.resumed();
            let message = complete(&client, &client, arguments).await;
            assert_eq!(result_text(&message), if requests == 0 { "t:" } else { "t:t" });
            assert!(server.resumed() > before);
        }
    }
    let plain = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(plain.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL_CAPABILITIES).await;
    let message = complete(&client, &client, json!({"tag": "t", "polls": true, "progress": true})).await;
    assert_eq!(
        message["result"]["_meta"]["dev.portolan/failure"]["cause"],
        "connection"
    );
}
