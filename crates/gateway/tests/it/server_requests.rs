//! What servers ask clients in the middle of a call, in all four pairings.

mod channel;
mod large;
mod out_of_band_legacy;
mod out_of_band_modern;

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    dialogue::{call, call_request, complete, respond, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    servers::requesting::RequestingServer,
};

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

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
            let client = gateway.connect_with(version, ALL).await;
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
        assert_eq!(gateway.question_count(), 0);
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
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
    let other = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
    let bob = gateway.client(ClientVersion::V2025_11_25).token("bob-token");
    let mut bob = bob;
    bob.capabilities = ALL.into();
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
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
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
    eventually("nothing waits", || gateway.question_count() == 0).await;
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
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
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
    eventually("nothing waits", || gateway.question_count() == 0).await;
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
            let client = gateway.connect_with(version, ALL).await;
            let message = complete(&client, &client, json!({"tag": "t", "rounds": 9})).await;
            assert_eq!(message["result"]["isError"], true, "{message}");
        }
        eventually("nothing waits", || gateway.question_count() == 0).await;
    }
}

#[tokio::test]
async fn request_state_is_bound_to_call() {
    for server in [RequestingServer::modern().await, RequestingServer::legacy().await] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
        let mut bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
        bob.capabilities = ALL.into();
        let arguments = json!({"tag": "t", "other": {"b": 1, "a": [1, 2]}});
        let asked = call(&client, &arguments).await;
        let extra = responses_to(&asked);
        let refused = |message: Value| assert_eq!(message["error"]["code"], -32602, "{message}");
        refused(resume_call(&bob, &arguments, &extra).await);
        refused(resume_call(&client, &json!({"tag": "u"}), &extra).await);
        let mut forged = extra.clone();
        let state = extra["requestState"].as_str().expect("a state");
        assert!(!state.contains("tag"), "it is sealed");
        for at in (0..state.len()).step_by(11) {
            let mut odd = state.as_bytes().to_vec();
            odd[at] = if odd[at] == b'A' { b'B' } else { b'A' };
            forged["requestState"] = String::from_utf8(odd).expect("ASCII").into();
            refused(resume_call(&client, &arguments, &forged).await);
        }
        // Members in another order are the same arguments.
        let reordered = json!({"other": {"a": [1, 2], "b": 1}, "tag": "t"});
        let message = resume_call(&client, &reordered, &extra).await;
        assert_eq!(result_text(&message), "t:t");
        assert_eq!(server.calls(), 1);
        assert_eq!(server.unexpected_responses(), 0);
    }
}

#[tokio::test]
async fn missing_response_is_requested_again() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let arguments = json!({"tag": "t", "requests": 2});
    let asked = call(&client, &arguments).await;
    let mut extra = responses_to(&asked);
    let responses = extra["inputResponses"].as_object_mut().expect("answers");
    responses.remove("q2");
    responses.insert("unknown".into(), json!({"x": 1}));
    let again = resume_call(&client, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q2"]);
    // The first state was used.
    let used = resume_call(&client, &arguments, &extra).await;
    assert_eq!(used["result"]["isError"], true);
    let message = resume_call(&client, &arguments, &responses_to(&again)).await;
    assert_eq!(result_text(&message), "t:t,t");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn suspended_call_uses_new_progress_token() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let arguments = json!({"tag": "t", "progress": true});
    let post = call_request(&client, &arguments, &json!({}), r#""progressToken":"first""#);
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "first");
    let post = call_request(
        &client,
        &arguments,
        &responses_to(&messages[1]),
        r#""progressToken":"second""#,
    );
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "second");
    assert_eq!(result_text(&messages[1]), "t:t");
}

#[tokio::test]
async fn suspended_call_times_out() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| {
            config.timeouts.server_request = Duration::from_millis(100);
            config.limits.suspended_per_caller = 2;
        })
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let arguments = json!({"tag": "t"});
    let asked = call(&client, &arguments).await;
    call(&client, &arguments).await;
    assert_eq!(gateway.question_count(), 2);
    let over = call(&client, &arguments).await;
    assert!(result_text(&over).contains("cannot be asked now"), "{over}");
    eventually("both are cancelled", || server.cancelled() == 2).await;
    assert_eq!(gateway.question_count(), 0);
    let lost = resume_call(&client, &arguments, &responses_to(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(server.calls(), 3, "it is not made again");
}

#[tokio::test]
async fn zero_suspended_limit_disables_requests() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| config.limits.suspended = 0)
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let message = call(&client, &json!({"tag": "t"})).await;
    assert!(result_text(&message).contains("-32601"), "{message}");
    assert_eq!(server.declared_capabilities(), json!({}));
}

#[tokio::test]
async fn url_elicitation_required() {
    let server = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let arguments = json!({"method": "visit-first"});
    let again = || server.forget_visit();
    let modern_client = gateway.connect_with(ClientVersion::V2026_07_28, ALL).await;
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
    let november = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
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
async fn response_reaches_waiting_replica() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let [first, second] = TestGateway::builder()
            .server("up", server.url())
            .server_requests(ServerRequestPolicy::ALL)
            .start_replicas()
            .await;
        for version in [
            ClientVersion::V2025_06_18,
            ClientVersion::V2025_11_25,
            ClientVersion::V2026_07_28,
        ] {
            let client = first.connect_with(version, ALL).await;
            let there = client.at(second.address);
            let arguments = json!({"tag": "t", "requests": 2, "rounds": 3});
            let message = complete(&client, &there, arguments).await;
            assert_eq!(result_text(&message), "t:t,t,t,t,t,t", "{version:?}");
        }
        assert_eq!(server.calls(), 3);
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(first.question_count() + second.question_count(), 0);
    }
}

#[tokio::test]
async fn lost_replica_fails_suspended_call() {
    let server = RequestingServer::legacy().await;
    let [first, second] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = first.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t"});
    let asked = call(&client, &arguments).await;
    drop(first);
    let lost = resume_call(&there, &arguments, &responses_to(&asked)).await;
    assert_eq!(lost["result"]["isError"], true, "{lost}");
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn resumable_call_is_stateless() {
    let server = RequestingServer::resumable().await;
    let [first, second] = TestGateway::builder()
        .server("up", server.url())
        .server_requests(ServerRequestPolicy::ALL)
        .start_replicas()
        .await;
    let client = first.connect_with(ClientVersion::V2026_07_28, ALL).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t", "requests": 2, "progress": true});
    let asked = call(&client, &arguments).await;
    assert_eq!(first.question_count(), 0);
    // Its replica may be gone by then.
    drop(first);
    let mut extra = responses_to(&asked);
    let full = extra.clone();
    extra["inputResponses"].as_object_mut().expect("answers").remove("q1");
    let again = resume_call(&there, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q1"]);
    let post = call_request(&there, &arguments, &responses_to(&again), r#""progressToken":"new""#);
    let messages = there.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"], json!({"progressToken": "new", "progress": 2}));
    assert_eq!(result_text(&messages[1]), "t:t,t");
    // The answer is there for who lost it on the way; the server takes no answer twice.
    assert_eq!(result_text(&resume_call(&there, &arguments, &full).await), "t:t,t");
    assert_eq!(server.calls(), 1);
    assert_eq!(server.cancelled(), 0);
}

#[tokio::test]
async fn closed_upstream_stream_is_resumed() {
    let server = RequestingServer::resumable().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    // A client of 2025-11-25 is told to come back by itself.
    for version in [ClientVersion::V2025_06_18, ClientVersion::V2026_07_28] {
        for requests in [0, 1] {
            let client = gateway.connect_with(version, ALL).await;
            let arguments = json!({"tag": "t", "polls": true, "progress": true, "requests": requests});
            let before = server.resumed();
            let message = complete(&client, &client, arguments).await;
            assert_eq!(result_text(&message), if requests == 0 { "t:" } else { "t:t" });
            assert!(server.resumed() > before);
        }
    }
    let plain = RequestingServer::legacy().await;
    let gateway = TestGateway::requesting(plain.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ALL).await;
    let message = complete(&client, &client, json!({"tag": "t", "polls": true, "progress": true})).await;
    assert_eq!(
        message["result"]["_meta"]["dev.portolan/failure"]["cause"],
        "connection"
    );
}
