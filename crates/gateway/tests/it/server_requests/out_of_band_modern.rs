//! Requests of legacy servers to modern clients on the GET stream of a session, in the middle of a call.

use std::time::Duration;

use serde_json::json;

use crate::support::{
    client::ClientVersion,
    dialogue::{call, call_request, complete, messages, responses_to, result_text, resume_call},
    eventually,
    gateway::TestGateway,
    servers::requesting::{CallReply, RequestingServer},
};

const ALL_CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

#[tokio::test]
async fn request_reaches_calling_client() {
    for server in [
        RequestingServer::out_of_band(CallReply::Events).await,
        RequestingServer::out_of_band(CallReply::Json).await,
    ] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
        for (requests, rounds) in [(0, 0), (1, 1), (3, 1), (1, 3), (2, 2)] {
            let message = complete(
                &client,
                &client,
                json!({"tag": "t", "requests": requests, "rounds": rounds}),
            )
            .await;
            let said = vec!["t"; requests * rounds].join(",");
            assert_eq!(result_text(&message), format!("t:{said}"));
        }
        assert_eq!(server.calls(), 5, "no call was made again");
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(gateway.server_request_count(), 0);
        assert_eq!(
            server.call_sessions(),
            ["b1"; 5].map(str::to_owned),
            "the caller's one session"
        );
        assert_eq!(server.stream_requests(), 1, "and one stream");
    }
}

#[tokio::test]
async fn concurrent_calls_use_own_sessions() {
    for server in [
        RequestingServer::out_of_band(CallReply::Events).await,
        RequestingServer::out_of_band(CallReply::Json).await,
    ] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
        let calls = (0..6).map(|number| {
            let client = &client;
            async move {
                let tag = format!("t{number}");
                let asked = call(client, &json!({"tag": tag})).await;
                (tag, asked)
            }
        });
        let asked = futures_util::future::join_all(calls).await;
        assert_eq!(gateway.server_request_count(), 6);
        for (tag, asked) in asked {
            assert_eq!(asked["result"]["inputRequests"]["q1"]["params"]["message"], *tag);
            let message = resume_call(&client, &json!({"tag": tag}), &responses_to(&asked)).await;
            assert_eq!(result_text(&message), format!("{tag}:{tag}"));
        }
        let mut sessions = server.call_sessions();
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), 6, "each call had a session to itself");
        // The first is free again, and used again.
        complete(&client, &client, json!({"tag": "again"})).await;
        assert_eq!(server.call_sessions().last().map(String::as_str), Some("b1"));
    }
}

#[tokio::test]
async fn request_beyond_session_limit_refused() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| config.limits.sessions_per_caller = 1)
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let first = call(&client, &json!({"tag": "first"})).await;
    let second = call(&client, &json!({"tag": "second"})).await;
    assert!(result_text(&second).contains("-32601"), "{second}");
    // Others have sessions of their own.
    let mut bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
    bob.capabilities = ALL_CAPABILITIES.into();
    assert_eq!(
        result_text(&complete(&bob, &bob, json!({"tag": "bob"})).await),
        "bob:bob"
    );
    let message = resume_call(&client, &json!({"tag": "first"}), &responses_to(&first)).await;
    assert_eq!(result_text(&message), "first:first");
    assert_eq!(
        result_text(&complete(&client, &client, json!({"tag": "third"})).await),
        "third:third"
    );
}

#[tokio::test]
async fn no_stream_without_client_capabilities() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let calls = (0..4).map(|_| client.text("up__ask", json!({"tag": "t", "requests": 0})));
    futures_util::future::join_all(calls).await;
    assert_eq!(server.stream_requests(), 0);
    let mut sessions = server.call_sessions();
    sessions.dedup();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn missing_get_stream_is_remembered() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    server.refuse_streams();
    let gateway = TestGateway::requesting(server.url()).start().await;
    for token in ["alice-token", "bob-token"] {
        let mut client = gateway.client(ClientVersion::V2026_07_28).token(token);
        client.capabilities = ALL_CAPABILITIES.into();
        for _ in 0..3 {
            assert_eq!(
                result_text(&call(&client, &json!({"tag": "t", "requests": 0})).await),
                "t:"
            );
        }
        let calls = (0..4).map(|_| client.text("up__ask", json!({"tag": "t", "requests": 0})));
        futures_util::future::join_all(calls).await;
    }
    assert_eq!(server.stream_requests(), 1);
    let mut sessions = server.call_sessions();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 2, "one of each caller");
}

#[tokio::test]
async fn progress_and_logs_reach_call() {
    for server in [
        RequestingServer::out_of_band(CallReply::Events).await,
        RequestingServer::out_of_band(CallReply::Json).await,
    ] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
        let arguments = json!({"tag": "t", "progress": true, "rounds": 2});
        let log = r#""io.modelcontextprotocol/logLevel":"warning""#;
        let meta = |token: &str| format!(r#""progressToken":"{token}",{log}"#);
        let mut extra = json!({});
        for (round, token) in [(1, "one"), (2, "two")] {
            let told = messages(&client, &arguments, &extra, &meta(token)).await;
            assert_eq!(told.len(), 3, "{told:?}");
            assert_eq!(told[0]["params"], json!({"progressToken": token, "progress": round}));
            // Debug was not asked for.
            assert_eq!(told[1]["params"], json!({"level": "error", "data": "t"}));
            extra = responses_to(&told[2]);
        }
        let told = messages(&client, &arguments, &extra, &meta("three")).await;
        assert_eq!(result_text(told.last().expect("an answer")), "t:t,t");
        // Who wants neither gets neither.
        let quiet = messages(
            &client,
            &json!({"tag": "t", "requests": 0, "progress": true}),
            &json!({}),
            "",
        )
        .await;
        assert_eq!(quiet.len(), 1, "{quiet:?}");
    }
}

#[tokio::test]
async fn abandoned_call_session_is_discarded() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let asked = call(&client, &json!({"tag": "warm"})).await;
    resume_call(&client, &json!({"tag": "warm"}), &responses_to(&asked)).await;
    let given_up = client
        .send_only(&call_request(
            &client,
            &json!({"tag": "x", "rounds": 0, "hold": true}),
            &json!({}),
            "",
        ))
        .await;
    eventually("it is under way", || server.calls() == 2).await;
    drop(given_up);
    eventually("it is cancelled", || server.cancelled() == 1).await;
    eventually("its session is ended", || server.ended_sessions() == 1).await;
    let asked = call(&client, &json!({"tag": "next"})).await;
    let session = server.call_sessions().pop().expect("a call");
    assert_ne!(session, "b1");
    assert_eq!(asked["result"]["inputRequests"]["q1"]["params"]["message"], "next");
}

#[tokio::test]
async fn session_with_stray_request_retired() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    complete(&client, &client, json!({"tag": "t", "requests": 0})).await;
    for (method, spoils) in [("ping", false), ("roots/list", false), ("elicitation/create", true)] {
        let id = format!("late-{method}");
        server.expect_response(&id);
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"message": "late"}});
        assert!(server.send("b1", &request));
        eventually("it is answered", || server.response(&id).is_some()).await;
        let before = server.call_sessions().len();
        complete(&client, &client, json!({"tag": "t"})).await;
        let session = server.call_sessions()[before].clone();
        assert_eq!(session != "b1", spoils, "{method}");
    }
    eventually("it is ended", || server.ended_sessions() == 1).await;
}

#[tokio::test]
async fn request_outliving_call_is_dropped() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let asked = call(&client, &json!({"tag": "t"})).await;
    // Beside the one that its call waits for.
    server.expect_response("more");
    let more = json!({"jsonrpc": "2.0", "id": "more", "method": "elicitation/create", "params": {"message": "more"}});
    assert!(server.send("b1", &more));
    let mut message = resume_call(&client, &json!({"tag": "t"}), &responses_to(&asked)).await;
    if message["result"]["resultType"] == "input_required" {
        message = resume_call(&client, &json!({"tag": "t"}), &responses_to(&message)).await;
    }
    assert_eq!(result_text(&message), "t:t");
    eventually("it is answered or refused", || server.response("more").is_some()).await;
    eventually("nothing waits", || gateway.server_request_count() == 0).await;
    assert_eq!(
        result_text(&complete(&client, &client, json!({"tag": "u"})).await),
        "u:u"
    );
}

#[tokio::test]
async fn suspended_call_times_out_with_session() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| config.timeouts.server_request = Duration::from_millis(100))
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let asked = call(&client, &json!({"tag": "t"})).await;
    eventually("it is cancelled", || server.cancelled() == 1).await;
    eventually("its session is ended", || server.ended_sessions() == 1).await;
    eventually("and its stream", || server.open_streams() == 0).await;
    let lost = resume_call(&client, &json!({"tag": "t"}), &responses_to(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn idle_streams_and_sessions_close() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let gateway = TestGateway::requesting(server.url())
        .config(|config| config.timeouts.listen_grace = Duration::from_millis(50))
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let arguments = json!({"tag": "t"});
    let calls = (0..3).map(|_| call(&client, &arguments));
    for asked in futures_util::future::join_all(calls).await {
        resume_call(&client, &arguments, &responses_to(&asked)).await;
    }
    eventually("no stream is open", || server.open_streams() == 0).await;
    eventually("the others are ended", || server.ended_sessions() == 2).await;
    // The caller's one goes on.
    complete(&client, &client, json!({"tag": "t"})).await;
    assert_eq!(server.sessions_opened(), 4, "and one of the gateway's own");
}

#[tokio::test]
async fn resumable_call_holds_session() {
    let server = RequestingServer::resumable_with_session_streams().await;
    let gateway = TestGateway::requesting(server.url()).start().await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ALL_CAPABILITIES).await;
    let arguments = json!({"tag": "t", "rounds": 2});
    let asked = call(&client, &arguments).await;
    assert_eq!(gateway.server_request_count(), 0, "it is kept nowhere");
    assert_eq!(
        result_text(&call(&client, &json!({"tag": "u", "requests": 0})).await),
        "u:"
    );
    let asked = resume_call(&client, &arguments, &responses_to(&asked)).await;
    let message = resume_call(&client, &arguments, &responses_to(&asked)).await;
    assert_eq!(result_text(&message), "t:t,t");
    assert_eq!(
        result_text(&call(&client, &json!({"tag": "v", "requests": 0})).await),
        "v:"
    );
    assert_eq!(server.call_sessions(), ["b1", "b2", "b1"]);
    assert_eq!(server.ended_sessions(), 0);
}
