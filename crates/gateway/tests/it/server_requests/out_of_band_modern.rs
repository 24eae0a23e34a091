//! What legacy servers ask modern clients beside the streams of their calls: on the GET stream of the session.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use portolan_gateway::{GatewayConfig, McpGateway};
use serde_json::json;

use crate::support::{
    client::{Client, Speaks},
    conversation::{all, answers, converse, one, post, text},
    eventually,
    servers::requesting::{CallReply, RequestingServer},
    world::{Site, parts, publish_asking},
};

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

async fn site(server: &RequestingServer) -> Site {
    site_with(server, |_| {}).await
}

async fn site_with(server: &RequestingServer, change: impl FnOnce(&mut GatewayConfig)) -> Site {
    let mut parts = parts();
    change(&mut parts.config);
    let site = Site::serve(McpGateway::new(parts)).await;
    publish_asking(
        &site.gateway,
        "default",
        &[("up", &server.url())],
        ServerRequestPolicy::ALL,
    )
    .await;
    site
}

#[tokio::test]
async fn request_reaches_calling_client() {
    for server in [
        RequestingServer::out_of_band(CallReply::Events).await,
        RequestingServer::out_of_band(CallReply::Json).await,
    ] {
        let site = site(&server).await;
        let client = Client::able(site.address, Speaks::Modern, ALL).await;
        for (questions, rounds) in [(0, 0), (1, 1), (3, 1), (1, 3), (2, 2)] {
            let message = converse(&client, json!({"tag": "t", "requests": questions, "rounds": rounds})).await;
            let said = vec!["t"; questions * rounds].join(",");
            assert_eq!(text(&message), format!("t:{said}"));
        }
        assert_eq!(server.calls(), 5, "no call was made again");
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(site.gateway.question_count(), 0);
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
        let site = site(&server).await;
        let client = Client::able(site.address, Speaks::Modern, ALL).await;
        let calls = (0..6).map(|number| {
            let client = &client;
            async move {
                let tag = format!("t{number}");
                let asked = one(client, &json!({"tag": tag}), "").await;
                (tag, asked)
            }
        });
        let asked = futures_util::future::join_all(calls).await;
        assert_eq!(site.gateway.question_count(), 6);
        for (tag, asked) in asked {
            assert_eq!(asked["result"]["inputRequests"]["q1"]["params"]["message"], *tag);
            let message = one(&client, &json!({"tag": tag}), &answers(&asked)).await;
            assert_eq!(text(&message), format!("{tag}:{tag}"));
        }
        let mut sessions = server.call_sessions();
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), 6, "each call had a session to itself");
        // The first is free again, and used again.
        converse(&client, json!({"tag": "again"})).await;
        assert_eq!(server.call_sessions().last().map(String::as_str), Some("b1"));
    }
}

#[tokio::test]
async fn request_beyond_session_limit_refused() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site_with(&server, |config| config.limits.sessions_per_caller = 1).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let first = one(&client, &json!({"tag": "first"}), "").await;
    let second = one(&client, &json!({"tag": "second"}), "").await;
    assert!(text(&second).contains("-32601"), "{second}");
    // Others have sessions of their own.
    let mut bob = Client::stranger(site.address, Speaks::Modern).token("bob-token");
    bob.abilities = ALL.into();
    assert_eq!(text(&converse(&bob, json!({"tag": "bob"})).await), "bob:bob");
    let message = one(&client, &json!({"tag": "first"}), &answers(&first)).await;
    assert_eq!(text(&message), "first:first");
    assert_eq!(text(&converse(&client, json!({"tag": "third"})).await), "third:third");
}

#[tokio::test]
async fn no_stream_without_client_capabilities() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site(&server).await;
    let client = Client::connect(site.address, Speaks::Modern).await;
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
    let site = site(&server).await;
    for token in ["alice-token", "bob-token"] {
        let mut client = Client::stranger(site.address, Speaks::Modern).token(token);
        client.abilities = ALL.into();
        for _ in 0..3 {
            assert_eq!(text(&one(&client, &json!({"tag": "t", "requests": 0}), "").await), "t:");
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
        let site = site(&server).await;
        let client = Client::able(site.address, Speaks::Modern, ALL).await;
        let arguments = json!({"tag": "t", "progress": true, "rounds": 2});
        let log = r#""io.modelcontextprotocol/logLevel":"warning""#;
        let meta = |token: &str| format!(r#""progressToken":"{token}",{log}"#);
        let mut extra = String::new();
        for (round, token) in [(1, "one"), (2, "two")] {
            let told = all(&client, &arguments, &extra, &meta(token)).await;
            assert_eq!(told.len(), 3, "{told:?}");
            assert_eq!(told[0]["params"], json!({"progressToken": token, "progress": round}));
            // Debug was not asked for.
            assert_eq!(told[1]["params"], json!({"level": "error", "data": "t"}));
            extra = answers(&told[2]);
        }
        let told = all(&client, &arguments, &extra, &meta("three")).await;
        assert_eq!(text(told.last().expect("an answer")), "t:t,t");
        // Who wants neither gets neither.
        let quiet = all(&client, &json!({"tag": "t", "requests": 0, "progress": true}), "", "").await;
        assert_eq!(quiet.len(), 1, "{quiet:?}");
    }
}

#[tokio::test]
async fn abandoned_call_session_is_discarded() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "warm"}), "").await;
    one(&client, &json!({"tag": "warm"}), &answers(&asked)).await;
    let given_up = client
        .begin_unanswered(&post(&client, &json!({"tag": "x", "rounds": 0, "hold": true}), "", ""))
        .await;
    eventually("it is under way", || server.calls() == 2).await;
    drop(given_up);
    eventually("it is cancelled", || server.cancelled() == 1).await;
    eventually("its session is ended", || server.ended_sessions() == 1).await;
    let asked = one(&client, &json!({"tag": "next"}), "").await;
    let session = server.call_sessions().pop().expect("a call");
    assert_ne!(session, "b1");
    assert_eq!(asked["result"]["inputRequests"]["q1"]["params"]["message"], "next");
}

#[tokio::test]
async fn session_with_stray_request_retired() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    converse(&client, json!({"tag": "t", "requests": 0})).await;
    for (method, spoils) in [("ping", false), ("roots/list", false), ("elicitation/create", true)] {
        let id = format!("late-{method}");
        server.expect_response(&id);
        let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"message": "late"}});
        assert!(server.send("b1", &question));
        eventually("it is answered", || server.response(&id).is_some()).await;
        let before = server.call_sessions().len();
        converse(&client, json!({"tag": "t"})).await;
        let session = server.call_sessions()[before].clone();
        assert_eq!(session != "b1", spoils, "{method}");
    }
    eventually("it is ended", || server.ended_sessions() == 1).await;
}

#[tokio::test]
async fn request_outliving_call_is_dropped() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "t"}), "").await;
    // Beside the one that its call waits for.
    server.expect_response("more");
    let more = json!({"jsonrpc": "2.0", "id": "more", "method": "elicitation/create", "params": {"message": "more"}});
    assert!(server.send("b1", &more));
    let mut message = one(&client, &json!({"tag": "t"}), &answers(&asked)).await;
    if message["result"]["resultType"] == "input_required" {
        message = one(&client, &json!({"tag": "t"}), &answers(&message)).await;
    }
    assert_eq!(text(&message), "t:t");
    eventually("it is answered or refused", || server.response("more").is_some()).await;
    eventually("nothing waits", || site.gateway.question_count() == 0).await;
    assert_eq!(text(&converse(&client, json!({"tag": "u"})).await), "u:u");
}

#[tokio::test]
async fn suspended_call_times_out_with_session() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site_with(&server, |config| config.timeouts.server_request = Duration::from_millis(100)).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "t"}), "").await;
    eventually("it is cancelled", || server.cancelled() == 1).await;
    eventually("its session is ended", || server.ended_sessions() == 1).await;
    eventually("and its stream", || server.open_streams() == 0).await;
    let lost = one(&client, &json!({"tag": "t"}), &answers(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn idle_streams_and_sessions_close() {
    let server = RequestingServer::out_of_band(CallReply::Events).await;
    let site = site_with(&server, |config| {
        config.timeouts.listen_grace = Duration::from_millis(50)
    })
    .await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t"});
    let calls = (0..3).map(|_| one(&client, &arguments, ""));
    for asked in futures_util::future::join_all(calls).await {
        one(&client, &arguments, &answers(&asked)).await;
    }
    eventually("no stream is open", || server.open_streams() == 0).await;
    eventually("the others are ended", || server.ended_sessions() == 2).await;
    // The caller's one goes on.
    converse(&client, json!({"tag": "t"})).await;
    assert_eq!(server.sessions_opened(), 4, "and one of the gateway's own");
}

#[tokio::test]
async fn resumable_call_holds_session() {
    let server = RequestingServer::resumable_with_session_streams().await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t", "rounds": 2});
    let asked = one(&client, &arguments, "").await;
    assert_eq!(site.gateway.question_count(), 0, "it is kept nowhere");
    assert_eq!(text(&one(&client, &json!({"tag": "u", "requests": 0}), "").await), "u:");
    let asked = one(&client, &arguments, &answers(&asked)).await;
    let message = one(&client, &arguments, &answers(&asked)).await;
    assert_eq!(text(&message), "t:t,t");
    assert_eq!(text(&one(&client, &json!({"tag": "v", "requests": 0}), "").await), "v:");
    assert_eq!(server.call_sessions(), ["b1", "b2", "b1"]);
    assert_eq!(server.ended_sessions(), 0);
}
