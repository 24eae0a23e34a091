//! What servers ask clients in the middle of a call, in all four pairings.

mod channel;
mod large;
mod out_of_band_legacy;
mod out_of_band_modern;

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use portolan_gateway::{GatewayConfig, McpGateway};
use serde_json::{Value, json};

use crate::support::{
    client::{Client, Post, Speaks},
    eventually,
    raw::Incoming,
    servers::requesting::RequestingServer,
    world::{Site, parts, publish_asking, replicas},
};

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

async fn site(server: &RequestingServer) -> Site {
    site_with(server, ServerRequestPolicy::ALL, |_| {}).await
}

async fn site_with(
    server: &RequestingServer,
    asks: ServerRequestPolicy,
    change: impl FnOnce(&mut GatewayConfig),
) -> Site {
    let mut parts = parts();
    change(&mut parts.config);
    let site = Site::serve(McpGateway::new(parts)).await;
    publish_asking(&site.gateway, "default", &[("up", &server.url())], asks).await;
    site
}

fn ask(client: &Client, id: &str, arguments: Value) -> Post {
    client.call_with(id, "up__ask", &arguments.to_string(), "")
}

fn content(tag: &Value) -> Value {
    json!({"action": "accept", "content": {"tag": tag}})
}

/// What a person who reads the question answers.
fn reply_to(question: &Value) -> Value {
    match question["method"].as_str() {
        Some("sampling/createMessage") => json!({"role": "assistant", "model": "m",
            "content": {"type": "text", "text": "x"}, "action": "sampled"}),
        Some("roots/list") => json!({"roots": [], "action": "rooted"}),
        _ => content(&question["params"]["message"]),
    }
}

async fn next(incoming: &mut Incoming) -> Value {
    let text = incoming.event().await.expect("whole").expect("an event");
    serde_json::from_str(&text).expect("JSON")
}

async fn answer(client: &Client, question: &Value) -> u16 {
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "result": reply_to(question)});
    client.send(&client.bare(body.to_string())).await.status()
}

fn text(message: &Value) -> &str {
    message["result"]["content"][0]["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {message}"))
}

/// Calls until there is an answer, and answers all questions on the way; each step of a modern client at the next place.
async fn converse(client: &Client, elsewhere: &Client, arguments: Value) -> Value {
    if !client.speaks.is_modern() {
        let mut incoming = client.begin(&ask(client, &client.next_id(), arguments)).await;
        loop {
            let message = next(&mut incoming).await;
            if message.get("result").is_some() || message.get("error").is_some() {
                return message;
            }
            if message.get("id").is_some() {
                assert_eq!(answer(elsewhere, &message).await, 202);
            }
        }
    }
    let mut extra = json!({});
    for round in 0.. {
        let at = if round % 2 == 0 { client } else { elsewhere };
        let message = modern(at, &arguments, &extra).await;
        if message["result"]["resultType"] != "input_required" {
            return message;
        }
        extra = answers(&message);
    }
    unreachable!()
}

/// One request of a modern client.
async fn modern(client: &Client, arguments: &Value, extra: &Value) -> Value {
    let post = modern_post(client, arguments, extra, "");
    let messages = client.begin(&post).await.messages().await.expect("whole");
    serde_json::from_str(messages.last().expect("an answer")).expect("JSON")
}

fn modern_post(client: &Client, arguments: &Value, extra: &Value, meta: &str) -> Post {
    let extra: String = extra
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| format!(",\"{key}\":{value}"))
        .collect();
    let params = format!(r#""name":"up__ask","arguments":{arguments}{extra}"#);
    client.request(&client.next_id(), "tools/call", &params, meta)
}

fn answers(asked: &Value) -> Value {
    let result = &asked["result"];
    let requests = result["inputRequests"].as_object().expect("requests");
    let responses: serde_json::Map<String, Value> = requests
        .iter()
        .map(|(key, question)| (key.clone(), reply_to(question)))
        .collect();
    let mut extra = json!({"inputResponses": responses});
    if let Some(state) = result.get("requestState") {
        extra["requestState"] = state.clone();
    }
    extra
}

#[tokio::test]
async fn requests_work_in_all_pairings() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let site = site(&server).await;
        for speaks in [Speaks::June, Speaks::November, Speaks::Modern] {
            let client = Client::able(site.address, speaks, ALL).await;
            for (questions, rounds) in [(1, 1), (3, 1), (1, 3), (2, 2)] {
                let arguments = json!({"tag": "t", "requests": questions, "rounds": rounds});
                let message = converse(&client, &client, arguments).await;
                let said = vec!["t"; questions * rounds].join(",");
                assert_eq!(text(&message), format!("t:{said}"), "{speaks:?}");
            }
            for (method, said) in [("sampling/createMessage", "sampled"), ("roots/list", "rooted")] {
                let message = converse(&client, &client, json!({"tag": "t", "method": method})).await;
                assert_eq!(text(&message), format!("t:{said}"), "{speaks:?}");
            }
        }
        assert_eq!(site.gateway.question_count(), 0);
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
        let site = site_with(&server, asks, |_| {}).await;
        for speaks in [Speaks::November, Speaks::Modern] {
            let client = Client::able(site.address, speaks, r#"{"elicitation":{},"roots":{},"sampling":{}}"#).await;
            converse(&client, &client, json!({"tag": "t"})).await;
            let told = server.declared_capabilities();
            assert_eq!(told, json!({"elicitation": {}, "sampling": {}}), "{speaks:?}");
        }
    }
}

#[tokio::test]
async fn incapable_client_gets_no_request() {
    let server = RequestingServer::legacy().await;
    let site = site(&server).await;
    for speaks in Speaks::ALL {
        let client = Client::connect(site.address, speaks).await;
        let message = client.tool("up__ask", json!({"tag": "t"})).await;
        assert!(text(&message).contains("-32601"), "{message}");
    }
}

#[tokio::test]
async fn unsolicited_response_is_refused() {
    let server = RequestingServer::legacy().await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::November, ALL).await;
    let other = Client::able(site.address, Speaks::November, ALL).await;
    let bob = Client::stranger(site.address, Speaks::November).token("bob-token");
    let mut bob = bob;
    bob.abilities = ALL.into();
    bob.shake_hands().await;
    let mut incoming = client.begin(&ask(&client, "1", json!({"tag": "t"}))).await;
    let question = next(&mut incoming).await;
    for stranger in [&other, &bob] {
        assert_eq!(answer(stranger, &question).await, 400);
    }
    let mut forged = question.clone();
    let id = question["id"].as_str().expect("a text");
    for at in (0..id.len()).step_by(7) {
        let mut odd = id.as_bytes().to_vec();
        odd[at] = if odd[at] == b'A' { b'B' } else { b'A' };
        forged["id"] = String::from_utf8(odd).expect("ASCII").into();
        assert_eq!(answer(&client, &forged).await, 400);
    }
    assert_eq!(answer(&client, &question).await, 202);
    assert_eq!(text(&next(&mut incoming).await), "t:t");
    assert_eq!(server.unexpected_responses(), 0);
    // Once more: nobody waits, and the server takes no second answer.
    answer(&client, &question).await;
}

#[tokio::test]
async fn client_error_cancels_only_request() {
    let server = RequestingServer::modern().await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::November, ALL).await;
    let mut incoming = client.begin(&ask(&client, "1", json!({"tag": "t"}))).await;
    let question = next(&mut incoming).await;
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}});
    assert_eq!(client.send(&client.bare(body.to_string())).await.status(), 202);
    assert_eq!(text(&next(&mut incoming).await), "t:cancel");
    let mut incoming = client
        .begin(&ask(&client, "2", json!({"tag": "t", "method": "roots/list"})))
        .await;
    let question = next(&mut incoming).await;
    let body = json!({"jsonrpc": "2.0", "id": question["id"], "error": {"code": -1, "message": "no"}});
    client.send(&client.bare(body.to_string())).await;
    assert_eq!(next(&mut incoming).await["result"]["isError"], true);
    eventually("nothing waits", || site.gateway.question_count() == 0).await;
}

#[tokio::test]
async fn waiting_ends_by_cancel_or_timeout() {
    let server = RequestingServer::modern().await;
    let site = site_with(&server, ServerRequestPolicy::ALL, |config| {
        config.timeouts.server_request = Duration::from_millis(300);
        config.timeouts.keep_alive = Duration::from_millis(50);
    })
    .await;
    let client = Client::able(site.address, Speaks::November, ALL).await;
    let mut incoming = client.begin(&ask(&client, "1", json!({"tag": "t"}))).await;
    let question = next(&mut incoming).await;
    assert_eq!(client.cancel("1").await.status(), 202);
    let taken_back = next(&mut incoming).await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    assert_eq!(incoming.event().await.expect("whole"), None);
    let mut incoming = client.begin(&ask(&client, "2", json!({"tag": "t"}))).await;
    next(&mut incoming).await;
    assert_eq!(next(&mut incoming).await["method"], "notifications/cancelled");
    let late = next(&mut incoming).await;
    assert_eq!(late["result"]["_meta"]["dev.portolan/failure"]["cause"], "timeout");
    eventually("nothing waits", || site.gateway.question_count() == 0).await;
}

#[tokio::test]
async fn rounds_are_bounded() {
    for server in [RequestingServer::legacy().await, RequestingServer::modern().await] {
        let site = site_with(&server, ServerRequestPolicy::ALL, |config| config.limits.rounds = 3).await;
        for speaks in [Speaks::November, Speaks::Modern] {
            // A legacy server may ask as often as it likes within a call, and what modern peers agree on is theirs.
            if speaks.is_modern() == server.is_modern() {
                continue;
            }
            let client = Client::able(site.address, speaks, ALL).await;
            let message = converse(&client, &client, json!({"tag": "t", "rounds": 9})).await;
            assert_eq!(message["result"]["isError"], true, "{message}");
        }
        eventually("nothing waits", || site.gateway.question_count() == 0).await;
    }
}

#[tokio::test]
async fn request_state_is_bound_to_call() {
    for server in [RequestingServer::modern().await, RequestingServer::legacy().await] {
        let site = site(&server).await;
        let client = Client::able(site.address, Speaks::Modern, ALL).await;
        let mut bob = Client::stranger(site.address, Speaks::Modern).token("bob-token");
        bob.abilities = ALL.into();
        let arguments = json!({"tag": "t", "other": {"b": 1, "a": [1, 2]}});
        let asked = modern(&client, &arguments, &json!({})).await;
        let extra = answers(&asked);
        let refused = |message: Value| assert_eq!(message["error"]["code"], -32602, "{message}");
        refused(modern(&bob, &arguments, &extra).await);
        refused(modern(&client, &json!({"tag": "u"}), &extra).await);
        let mut forged = extra.clone();
        let state = extra["requestState"].as_str().expect("a state");
        assert!(!state.contains("tag"), "it is sealed");
        for at in (0..state.len()).step_by(11) {
            let mut odd = state.as_bytes().to_vec();
            odd[at] = if odd[at] == b'A' { b'B' } else { b'A' };
            forged["requestState"] = String::from_utf8(odd).expect("ASCII").into();
            refused(modern(&client, &arguments, &forged).await);
        }
        // Members in another order are the same arguments.
        let reordered = json!({"other": {"a": [1, 2], "b": 1}, "tag": "t"});
        let message = modern(&client, &reordered, &extra).await;
        assert_eq!(text(&message), "t:t");
        assert_eq!(server.calls(), 1);
        assert_eq!(server.unexpected_responses(), 0);
    }
}

#[tokio::test]
async fn missing_response_is_requested_again() {
    let server = RequestingServer::legacy().await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t", "requests": 2});
    let asked = modern(&client, &arguments, &json!({})).await;
    let mut extra = answers(&asked);
    let responses = extra["inputResponses"].as_object_mut().expect("answers");
    responses.remove("q2");
    responses.insert("unknown".into(), json!({"x": 1}));
    let again = modern(&client, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q2"]);
    // The first state was used.
    let used = modern(&client, &arguments, &extra).await;
    assert_eq!(used["result"]["isError"], true);
    let message = modern(&client, &arguments, &answers(&again)).await;
    assert_eq!(text(&message), "t:t,t");
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn suspended_call_uses_new_progress_token() {
    let server = RequestingServer::legacy().await;
    let site = site(&server).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t", "progress": true});
    let post = modern_post(&client, &arguments, &json!({}), r#""progressToken":"first""#);
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "first");
    let post = modern_post(
        &client,
        &arguments,
        &answers(&messages[1]),
        r#""progressToken":"second""#,
    );
    let messages = client.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"]["progressToken"], "second");
    assert_eq!(text(&messages[1]), "t:t");
}

#[tokio::test]
async fn suspended_call_times_out() {
    let server = RequestingServer::legacy().await;
    let site = site_with(&server, ServerRequestPolicy::ALL, |config| {
        config.timeouts.server_request = Duration::from_millis(100);
        config.limits.suspended_per_caller = 2;
    })
    .await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t"});
    let asked = modern(&client, &arguments, &json!({})).await;
    modern(&client, &arguments, &json!({})).await;
    assert_eq!(site.gateway.question_count(), 2);
    let over = modern(&client, &arguments, &json!({})).await;
    assert!(text(&over).contains("cannot be asked now"), "{over}");
    eventually("both are cancelled", || server.cancelled() == 2).await;
    assert_eq!(site.gateway.question_count(), 0);
    let lost = modern(&client, &arguments, &answers(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(server.calls(), 3, "it is not made again");
}

#[tokio::test]
async fn zero_suspended_limit_disables_requests() {
    let server = RequestingServer::legacy().await;
    let site = site_with(&server, ServerRequestPolicy::ALL, |config| config.limits.suspended = 0).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let message = modern(&client, &json!({"tag": "t"}), &json!({})).await;
    assert!(text(&message).contains("-32601"), "{message}");
    assert_eq!(server.declared_capabilities(), json!({}));
}

#[tokio::test]
async fn url_elicitation_required() {
    let server = RequestingServer::legacy().await;
    let site = site(&server).await;
    let arguments = json!({"method": "visit-first"});
    let again = || server.forget_visit();
    let modern_client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = modern(&modern_client, &arguments, &json!({})).await;
    let (_, page) = asked["result"]["inputRequests"]
        .as_object()
        .and_then(|all| all.iter().next())
        .expect("a page");
    assert_eq!(
        page["params"],
        json!({"mode": "url", "url": "https://example.com/visit", "message": "please"})
    );
    assert_eq!(
        text(&modern(&modern_client, &arguments, &answers(&asked)).await),
        "visited"
    );
    again();
    let november = Client::able(site.address, Speaks::November, ALL).await;
    let post = ask(&november, "1", arguments.clone());
    assert_eq!(november.send(&post).await.code(), -32042);
    for speaks in [Speaks::June, Speaks::Modern] {
        again();
        let unable = Client::able(site.address, speaks, r#"{"elicitation":{}}"#).await;
        let message = unable.tool("up__ask", arguments.clone()).await;
        assert!(text(&message).contains("https://example.com/visit"), "{message}");
    }
}

#[tokio::test]
async fn response_reaches_waiting_replica() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let [first, second] = replicas(&[("up", &server.url())], ServerRequestPolicy::ALL, |_| {}).await;
        for speaks in [Speaks::June, Speaks::November, Speaks::Modern] {
            let client = Client::able(first.address, speaks, ALL).await;
            let there = client.at(second.address);
            let arguments = json!({"tag": "t", "requests": 2, "rounds": 3});
            let message = converse(&client, &there, arguments).await;
            assert_eq!(text(&message), "t:t,t,t,t,t,t", "{speaks:?}");
        }
        assert_eq!(server.calls(), 3);
        assert_eq!(server.unexpected_responses(), 0);
        assert_eq!(first.gateway.question_count() + second.gateway.question_count(), 0);
    }
}

#[tokio::test]
async fn lost_replica_fails_suspended_call() {
    let server = RequestingServer::legacy().await;
    let [first, second] = replicas(&[("up", &server.url())], ServerRequestPolicy::ALL, |_| {}).await;
    let client = Client::able(first.address, Speaks::Modern, ALL).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t"});
    let asked = modern(&client, &arguments, &json!({})).await;
    drop(first);
    let lost = modern(&there, &arguments, &answers(&asked)).await;
    assert_eq!(lost["result"]["isError"], true, "{lost}");
    assert_eq!(server.calls(), 1, "it is not made again");
}

#[tokio::test]
async fn resumable_call_is_stateless() {
    let server = RequestingServer::resumable().await;
    let [first, second] = replicas(&[("up", &server.url())], ServerRequestPolicy::ALL, |_| {}).await;
    let client = Client::able(first.address, Speaks::Modern, ALL).await;
    let there = client.at(second.address);
    let arguments = json!({"tag": "t", "requests": 2, "progress": true});
    let asked = modern(&client, &arguments, &json!({})).await;
    assert_eq!(first.gateway.question_count(), 0);
    // Its replica may be gone by then.
    drop(first);
    let mut extra = answers(&asked);
    let full = extra.clone();
    extra["inputResponses"].as_object_mut().expect("answers").remove("q1");
    let again = modern(&there, &arguments, &extra).await;
    let keys: Vec<_> = again["result"]["inputRequests"]
        .as_object()
        .expect("requests")
        .keys()
        .collect();
    assert_eq!(keys, ["q1"]);
    let post = modern_post(&there, &arguments, &answers(&again), r#""progressToken":"new""#);
    let messages = there.begin(&post).await.messages().await.expect("whole");
    let messages: Vec<Value> = messages
        .iter()
        .map(|text| serde_json::from_str(text).expect("JSON"))
        .collect();
    assert_eq!(messages[0]["params"], json!({"progressToken": "new", "progress": 2}));
    assert_eq!(text(&messages[1]), "t:t,t");
    // The answer is there for who lost it on the way; the server takes no answer twice.
    assert_eq!(text(&modern(&there, &arguments, &full).await), "t:t,t");
    assert_eq!(server.calls(), 1);
    assert_eq!(server.cancelled(), 0);
}

#[tokio::test]
async fn closed_upstream_stream_is_resumed() {
    let server = RequestingServer::resumable().await;
    let site = site(&server).await;
    // A client of 2025-11-25 is told to come back by itself.
    for speaks in [Speaks::June, Speaks::Modern] {
        for questions in [0, 1] {
            let client = Client::able(site.address, speaks, ALL).await;
            let arguments = json!({"tag": "t", "polls": true, "progress": true, "requests": questions});
            let before = server.resumed();
            let message = converse(&client, &client, arguments).await;
            assert_eq!(text(&message), if questions == 0 { "t:" } else { "t:t" });
            assert!(server.resumed() > before);
        }
    }
    let plain = RequestingServer::legacy().await;
    let site = self::site(&plain).await;
    let client = Client::able(site.address, Speaks::November, ALL).await;
    let message = converse(&client, &client, json!({"tag": "t", "polls": true, "progress": true})).await;
    assert_eq!(
        message["result"]["_meta"]["dev.portolan/failure"]["cause"],
        "connection"
    );
}
