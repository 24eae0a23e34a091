//! What a gateway that is about to end tells those who wait for something.

use std::time::Duration;

use portolan_core::ServerRequestPolicy;
use portolan_gateway::Upstream;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{
    asker::{Asker, Seen, beside::Beside},
    client::{Client, Speaks},
    conversation::{answer, answers, next, one, text},
    teller::Teller,
    until,
    world::{Site, replicas},
};

const ABLE: &str = r#"{"elicitation":{}}"#;
const GRACE: Duration = Duration::from_secs(10);

async fn pair(asker: &Asker) -> [Site; 2] {
    replicas(&[("up", &asker.url())], ServerRequestPolicy::ALL, |_| {}).await
}

fn assert_lost(message: &Value) {
    assert_eq!(message["result"]["isError"], true, "{message}");
    assert_eq!(
        message["result"]["_meta"]["dev.portolan/failure"]["cause"], "stopped",
        "{message}"
    );
}

#[tokio::test]
async fn a_kept_call_is_cancelled_and_who_comes_back_is_told() {
    for asker in [Asker::legacy().await, Asker::beside(Beside::default()).await] {
        let [first, second] = pair(&asker).await;
        let client = Client::able(first.address, Speaks::Modern, ABLE).await;
        let arguments = json!({"tag": "t"});
        let asked = one(&client, &arguments, "").await;
        assert_eq!(first.gateway.question_count(), 1);
        first.gateway.drain(GRACE).await;
        assert_eq!(first.gateway.question_count(), 0);
        assert_eq!(
            Seen::count(&asker.seen.cancelled),
            1,
            "the server is told before the end"
        );
        // Here as long as it is there, and elsewhere, whether it is there or not.
        assert_lost(&one(&client, &arguments, &answers(&asked)).await);
        let there = client.at(second.address);
        assert_lost(&one(&there, &arguments, &answers(&asked)).await);
        drop(first);
        assert_lost(&one(&there, &arguments, &answers(&asked)).await);
        assert_eq!(Seen::count(&asker.seen.calls), 1, "it is not made again");
    }
}

#[tokio::test]
async fn a_legacy_client_that_is_asked_for_a_modern_server_is_told_on_its_stream() {
    let asker = Asker::modern().await;
    let [first, second] = pair(&asker).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let question = next(&mut incoming).await;
    first.gateway.drain(GRACE).await;
    let taken_back = next(&mut incoming).await;
    assert_eq!(taken_back["method"], "notifications/cancelled");
    assert_eq!(taken_back["params"]["requestId"], question["id"]);
    assert_lost(&next(&mut incoming).await);
    assert_eq!(incoming.event().await.expect("whole"), None);
    assert_eq!(first.gateway.question_count(), 0);
    assert_eq!(
        answer(&client.at(second.address), &question).await,
        202,
        "late, and for nobody"
    );
    assert_eq!(Seen::count(&asker.seen.calls), 1, "it is not made again");
}

#[tokio::test]
async fn a_call_that_its_server_goes_on_with_has_its_time() {
    let asker = Asker::legacy().await;
    let [first, second] = pair(&asker).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    let question = next(&mut incoming).await;
    let (_, message) = tokio::join!(first.gateway.drain(GRACE), async {
        assert_eq!(answer(&client.at(second.address), &question).await, 202);
        next(&mut incoming).await
    });
    assert_eq!(text(&message), "t:t");
}

#[tokio::test]
async fn nothing_new_is_kept_by_who_is_about_to_end() {
    let asker = Asker::legacy().await;
    let [first, _second] = pair(&asker).await;
    first.gateway.drain(GRACE).await;
    let client = Client::able(first.address, Speaks::Modern, ABLE).await;
    let refused = one(&client, &json!({"tag": "t"}), "").await;
    assert!(text(&refused).contains("cannot be asked now"), "{refused}");
    assert_eq!(
        text(&one(&client, &json!({"tag": "t", "questions": 0}), "").await),
        "t:"
    );
    let asker = Asker::modern().await;
    let [first, _second] = pair(&asker).await;
    first.gateway.drain(GRACE).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    assert_lost(&client.tool("up__ask", json!({"tag": "t"})).await);
}

#[tokio::test]
async fn what_is_kept_nowhere_is_not_lost() {
    for asker in [Asker::resumable().await, Asker::modern().await] {
        let [first, second] = pair(&asker).await;
        let client = Client::able(first.address, Speaks::Modern, ABLE).await;
        let arguments = json!({"tag": "t"});
        let asked = one(&client, &arguments, "").await;
        first.gateway.drain(GRACE).await;
        drop(first);
        let message = one(&client.at(second.address), &arguments, &answers(&asked)).await;
        assert_eq!(text(&message), "t:t");
    }
}

#[tokio::test]
async fn it_does_not_wait_longer_than_it_may() {
    let asker = Asker::legacy().await;
    let [first, _second] = pair(&asker).await;
    let client = Client::able(first.address, Speaks::November, ABLE).await;
    let mut incoming = client.begin(&client.call("\"1\"", "up__ask", r#"{"tag":"t"}"#)).await;
    next(&mut incoming).await;
    let began = std::time::Instant::now();
    first.gateway.drain(Duration::from_millis(100)).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    until("it is still there", || first.gateway.question_count() == 1).await;
}

#[tokio::test]
async fn shutdown_closes_streams_to_servers() {
    for modern in [false, true] {
        let teller = Teller::start(modern).await;
        let site = Site::of([("up", Upstream::http(teller.url()))]).await;
        let client = Client::connect(site.address, Speaks::November).await;
        client.tools().await;
        let stream = client.stream().await;
        assert_eq!(stream.head.status, 200);
        teller.is_listened_to().await;
        let begun = Instant::now();
        site.gateway.shutdown(GRACE).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        until("no stream to the server is open", || teller.streams() == 0).await;
        let refused = client.tool("up__echo", json!({})).await;
        assert_lost(&refused);
    }
}
