//! What legacy servers ask modern clients beside the streams of their calls: on the GET stream of the session.

use std::{sync::atomic::Ordering, time::Duration};

use portolan_core::ServerRequestPolicy;
use portolan_gateway::{GatewayConfig, McpGateway};
use serde_json::json;

use crate::support::{
    asker::{Asker, Seen, beside::Beside},
    client::{Client, Speaks},
    conversation::{all, answers, converse, one, post, text},
    until,
    world::{Site, parts, publish_asking},
};

const ALL: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

async fn site(asker: &Asker) -> Site {
    site_with(asker, |_| {}).await
}

async fn site_with(asker: &Asker, change: impl FnOnce(&mut GatewayConfig)) -> Site {
    let mut parts = parts();
    change(&mut parts.config);
    let site = Site::serve(McpGateway::new(parts)).await;
    publish_asking(
        &site.gateway,
        "default",
        &[("up", &asker.url())],
        ServerRequestPolicy::ALL,
    )
    .await;
    site
}

fn beside(asker: &Asker) -> &Beside {
    asker.seen.beside.as_ref().expect("it asks beside its calls")
}

#[tokio::test]
async fn a_question_beside_a_call_reaches_its_client() {
    for asker in [
        Asker::beside(Beside::default()).await,
        Asker::beside(Beside::in_json()).await,
    ] {
        let site = site(&asker).await;
        let client = Client::able(site.address, Speaks::Modern, ALL).await;
        for (questions, rounds) in [(0, 0), (1, 1), (3, 1), (1, 3), (2, 2)] {
            let message = converse(&client, json!({"tag": "t", "questions": questions, "rounds": rounds})).await;
            let said = vec!["t"; questions * rounds].join(",");
            assert_eq!(text(&message), format!("t:{said}"));
        }
        assert_eq!(Seen::count(&asker.seen.calls), 5, "no call was made again");
        assert_eq!(Seen::count(&asker.seen.odd), 0);
        assert_eq!(site.gateway.question_count(), 0);
        assert_eq!(
            beside(&asker).called(),
            ["b1"; 5].map(str::to_owned),
            "the caller's one session"
        );
        assert_eq!(beside(&asker).gets.load(Ordering::Relaxed), 1, "and one stream");
    }
}

#[tokio::test]
async fn a_question_beside_calls_goes_to_the_call_that_it_belongs_to() {
    for asker in [
        Asker::beside(Beside::default()).await,
        Asker::beside(Beside::in_json()).await,
    ] {
        let site = site(&asker).await;
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
        let mut sessions = beside(&asker).called();
        sessions.sort();
        sessions.dedup();
        assert_eq!(sessions.len(), 6, "each call had a session to itself");
        // The first is free again, and used again.
        converse(&client, json!({"tag": "again"})).await;
        assert_eq!(beside(&asker).called().last().map(String::as_str), Some("b1"));
    }
}

#[tokio::test]
async fn past_the_limit_such_questions_are_refused_and_not_guessed() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site_with(&asker, |config| config.limits.sessions_per_caller = 1).await;
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
async fn who_declares_nothing_does_not_pay_for_it() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site(&asker).await;
    let client = Client::connect(site.address, Speaks::Modern).await;
    let calls = (0..4).map(|_| client.text("up__ask", json!({"tag": "t", "questions": 0})));
    futures_util::future::join_all(calls).await;
    assert_eq!(beside(&asker).gets.load(Ordering::Relaxed), 0);
    let mut sessions = beside(&asker).called();
    sessions.dedup();
    assert_eq!(sessions.len(), 1);
}

#[tokio::test]
async fn a_server_without_such_streams_is_asked_for_one_once() {
    let asker = Asker::beside(Beside::default()).await;
    beside(&asker).mute.store(true, Ordering::Relaxed);
    let site = site(&asker).await;
    for token in ["alice-token", "bob-token"] {
        let mut client = Client::stranger(site.address, Speaks::Modern).token(token);
        client.abilities = ALL.into();
        for _ in 0..3 {
            assert_eq!(
                text(&one(&client, &json!({"tag": "t", "questions": 0}), "").await),
                "t:"
            );
        }
        let calls = (0..4).map(|_| client.text("up__ask", json!({"tag": "t", "questions": 0})));
        futures_util::future::join_all(calls).await;
    }
    assert_eq!(beside(&asker).gets.load(Ordering::Relaxed), 1);
    let mut sessions = beside(&asker).called();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 2, "one of each caller");
}

#[tokio::test]
async fn progress_and_logs_beside_a_call_reach_it() {
    for asker in [
        Asker::beside(Beside::default()).await,
        Asker::beside(Beside::in_json()).await,
    ] {
        let site = site(&asker).await;
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
        let quiet = all(&client, &json!({"tag": "t", "questions": 0, "progress": true}), "", "").await;
        assert_eq!(quiet.len(), 1, "{quiet:?}");
    }
}

#[tokio::test]
async fn what_a_call_that_was_given_up_asks_later_reaches_no_other() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site(&asker).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "warm"}), "").await;
    one(&client, &json!({"tag": "warm"}), &answers(&asked)).await;
    let given_up = client
        .begin_unanswered(&post(&client, &json!({"tag": "x", "rounds": 0, "hold": true}), "", ""))
        .await;
    until("it is under way", || Seen::count(&asker.seen.calls) == 2).await;
    drop(given_up);
    until("it is cancelled", || Seen::count(&asker.seen.cancelled) == 1).await;
    until("its session is ended", || Seen::count(&asker.seen.ended) == 1).await;
    let asked = one(&client, &json!({"tag": "next"}), "").await;
    let session = beside(&asker).called().pop().expect("a call");
    assert_ne!(session, "b1");
    assert_eq!(asked["result"]["inputRequests"]["q1"]["params"]["message"], "next");
}

#[tokio::test]
async fn a_session_that_asks_when_nobody_is_there_is_used_no_more() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site(&asker).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    converse(&client, json!({"tag": "t", "questions": 0})).await;
    for (method, spoils) in [("ping", false), ("roots/list", false), ("elicitation/create", true)] {
        let id = format!("late-{method}");
        asker.seen.expect(&id);
        let question = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"message": "late"}});
        assert!(beside(&asker).say("b1", &question));
        until("it is answered", || asker.seen.answer(&id).is_some()).await;
        let before = beside(&asker).called().len();
        converse(&client, json!({"tag": "t"})).await;
        let session = beside(&asker).called()[before].clone();
        assert_eq!(session != "b1", spoils, "{method}");
    }
    until("it is ended", || Seen::count(&asker.seen.ended) == 1).await;
}

#[tokio::test]
async fn a_question_that_outlives_its_call_is_answered_by_nobody_else() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site(&asker).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "t"}), "").await;
    // Beside the one that its call waits for.
    asker.seen.expect("more");
    let more = json!({"jsonrpc": "2.0", "id": "more", "method": "elicitation/create", "params": {"message": "more"}});
    assert!(beside(&asker).say("b1", &more));
    let mut message = one(&client, &json!({"tag": "t"}), &answers(&asked)).await;
    if message["result"]["resultType"] == "input_required" {
        message = one(&client, &json!({"tag": "t"}), &answers(&message)).await;
    }
    assert_eq!(text(&message), "t:t");
    until("it is answered or refused", || asker.seen.answer("more").is_some()).await;
    until("nothing waits", || site.gateway.question_count() == 0).await;
    assert_eq!(text(&converse(&client, json!({"tag": "u"})).await), "u:u");
}

#[tokio::test]
async fn a_kept_call_whose_client_stays_away_ends_with_its_session() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site_with(&asker, |config| {
        config.timeouts.server_request = Duration::from_millis(100)
    })
    .await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let asked = one(&client, &json!({"tag": "t"}), "").await;
    until("it is cancelled", || Seen::count(&asker.seen.cancelled) == 1).await;
    until("its session is ended", || Seen::count(&asker.seen.ended) == 1).await;
    until("and its stream", || beside(&asker).open() == 0).await;
    let lost = one(&client, &json!({"tag": "t"}), &answers(&asked)).await;
    assert_eq!(lost["result"]["isError"], true);
    assert_eq!(Seen::count(&asker.seen.calls), 1);
}

#[tokio::test]
async fn streams_and_sessions_that_nobody_uses_are_ended() {
    let asker = Asker::beside(Beside::default()).await;
    let site = site_with(&asker, |config| {
        config.timeouts.listen_grace = Duration::from_millis(50)
    })
    .await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t"});
    let calls = (0..3).map(|_| one(&client, &arguments, ""));
    for asked in futures_util::future::join_all(calls).await {
        one(&client, &arguments, &answers(&asked)).await;
    }
    until("no stream is open", || beside(&asker).open() == 0).await;
    until("the others are ended", || Seen::count(&asker.seen.ended) == 2).await;
    // The caller's one goes on.
    converse(&client, json!({"tag": "t"})).await;
    assert_eq!(
        beside(&asker).sessions.load(Ordering::Relaxed),
        4,
        "and one of the gateway's own"
    );
}

#[tokio::test]
async fn a_call_that_was_left_has_its_session_until_it_is_over() {
    let asker = Asker::resumable_with_streams().await;
    let site = site(&asker).await;
    let client = Client::able(site.address, Speaks::Modern, ALL).await;
    let arguments = json!({"tag": "t", "rounds": 2});
    let asked = one(&client, &arguments, "").await;
    assert_eq!(site.gateway.question_count(), 0, "it is kept nowhere");
    assert_eq!(
        text(&one(&client, &json!({"tag": "u", "questions": 0}), "").await),
        "u:"
    );
    let asked = one(&client, &arguments, &answers(&asked)).await;
    let message = one(&client, &arguments, &answers(&asked)).await;
    assert_eq!(text(&message), "t:t,t");
    assert_eq!(
        text(&one(&client, &json!({"tag": "v", "questions": 0}), "").await),
        "v:"
    );
    assert_eq!(beside(&asker).called(), ["b1", "b2", "b1"]);
    assert_eq!(Seen::count(&asker.seen.ended), 0);
}
