//! A legacy client whose connection breaks in the middle of a call resumes the stream.

mod bounds;
mod broken_connections;
mod polling;
mod session_stream;
mod sessions;

use std::time::Duration;

use portolan_gateway::GatewayConfig;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion, HttpRequest},
    eventually,
    gateway::TestGateway,
    raw::{Event, ResponseStream},
    servers::streaming::{StreamedCall, StreamingServer},
    upstreams::{Eras, http},
};

const LEGACY: [ClientVersion; 3] = [
    ClientVersion::V2025_03_26,
    ClientVersion::V2025_06_18,
    ClientVersion::V2025_11_25,
];

async fn gateway(server: &StreamingServer, change: impl FnOnce(&mut GatewayConfig)) -> TestGateway {
    TestGateway::builder()
        .server("up", server.url())
        .config(change)
        .start()
        .await
}

fn call(client: &Client, id: &str) -> HttpRequest {
    client.call_with(id, "up__t", "{}", r#""progressToken":"p""#)
}

/// The next event that says something.
async fn next(incoming: &mut ResponseStream) -> Event {
    loop {
        let event = timeout(DEADLINE, incoming.whole_event())
            .await
            .expect("an event in time");
        let event = event.expect("no break").expect("an event");
        if !event.data.is_empty() {
            return event;
        }
    }
}

fn progress(event: &Event) -> u64 {
    let message = event.json();
    assert_eq!(message["params"]["progressToken"], "p", "{message}");
    message["params"]["progress"].as_u64().expect("a number")
}

fn id(event: &Event) -> &str {
    event.id.as_deref().expect("an id")
}

/// A call that has told progress, of which the client has read the first event.
async fn under_way(client: &Client, server: &StreamingServer, request: &str) -> (ResponseStream, StreamedCall, Event) {
    let number = server.calls();
    let begun = client.send_only(&call(client, request)).await;
    let streamed = server.call(number).await;
    streamed.send_progress(1);
    let mut incoming = begun.incoming().await;
    assert_eq!(incoming.head.get("content-type"), Some("text/event-stream"));
    let event = next(&mut incoming).await;
    assert_eq!(progress(&event), 1);
    (incoming, streamed, event)
}

fn text(event: &Event) -> Value {
    event.json()["result"]["content"][0]["text"].clone()
}

#[track_caller]
fn assert_lost(event: &Event, request: &str) {
    let message = event.json();
    assert_eq!(message["id"].to_string(), request, "{message}");
    assert_eq!(message["result"]["isError"], true, "{message}");
    let failure = &message["result"]["_meta"]["dev.portolan/failure"];
    assert_eq!(*failure, json!({"cause": "stopped", "retryable": false}), "{message}");
}

#[tokio::test]
async fn missed_events_are_replayed() {
    for is_modern in [false, true] {
        let server = StreamingServer::start(is_modern).await;
        let gateway = gateway(&server, |_| {}).await;
        for version in LEGACY {
            let client = gateway.connect(version).await;
            let (incoming, streamed, first) = under_way(&client, &server, "7").await;
            drop(incoming);
            streamed.send_progress(2);
            streamed.send_progress(3);
            let mut again = client.resume(id(&first)).await;
            assert_eq!(again.head.status, 200);
            assert_eq!(again.head.get("content-type"), Some("text/event-stream"));
            assert_eq!(progress(&next(&mut again).await), 2);
            assert_eq!(progress(&next(&mut again).await), 3);
            streamed.send_progress(4);
            assert_eq!(progress(&next(&mut again).await), 4, "it goes on");
            drop(again);
            streamed.respond("done");
            eventually("the answer came while nobody read", || streamed.is_closed()).await;
            let mut again = client.resume(id(&first)).await;
            for missed in 2..=4 {
                assert_eq!(progress(&next(&mut again).await), missed);
            }
            let answer = next(&mut again).await;
            assert_eq!(
                (text(&answer), &answer.json()["id"]),
                (json!("done"), &json!(7)),
                "{version:?}"
            );
            assert_eq!(again.whole_event().await.expect("a proper end"), None);
            let nothing = client.resume(id(&answer)).await;
            assert_eq!(nothing.head.status, 405, "there is nothing after the answer");
            let answer_again = next(&mut client.resume(id(&first)).await).await;
            assert_eq!(progress(&answer_again), 2, "as often as it likes");
        }
        assert_eq!(server.calls(), LEGACY.len(), "no call was made again");
        assert_eq!(server.cancelled(), 0);
    }
}

#[tokio::test]
async fn event_ids_are_unique_and_primed() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |config| config.timeouts.retry = Duration::from_millis(1234)).await;
    for version in LEGACY {
        let client = gateway.connect(version).await;
        let mut ids = Vec::new();
        for request in ["1", "2"] {
            let number = server.calls();
            let begun = client.send_only(&call(&client, request)).await;
            let streamed = server.call(number).await;
            streamed.send_progress(1);
            let mut incoming = begun.incoming().await;
            let mut last = incoming.whole_event().await.expect("whole").expect("an event");
            if version == ClientVersion::V2025_11_25 {
                assert_eq!((last.data.as_str(), last.retry), ("", Some(1234)));
                ids.push(id(&last).to_owned());
                last = incoming.whole_event().await.expect("whole").expect("an event");
            }
            assert_eq!((progress(&last), last.retry), (1, None));
            ids.push(id(&last).to_owned());
            drop(incoming);
            let mut again = client.resume(id(&last)).await;
            if version == ClientVersion::V2025_11_25 {
                let primed = again.whole_event().await.expect("whole").expect("an event");
                assert_eq!((primed.data.as_str(), primed.retry), ("", Some(1234)));
                ids.push(id(&primed).to_owned());
            }
            streamed.respond("done");
            let answer = again.whole_event().await.expect("whole").expect("an event");
            assert_eq!((text(&answer), answer.retry), (json!("done"), None));
            ids.push(id(&answer).to_owned());
        }
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all, "{ids:?}");
        assert!(ids.iter().all(|id| id.len() < 512), "they fit into headers: {ids:?}");
    }
}

#[tokio::test]
async fn priming_event_id_resumes() {
    let server = StreamingServer::start(true).await;
    let gateway = gateway(&server, |_| {}).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let mut incoming = client.begin(&call(&client, "1")).await;
    let mut primed = incoming.whole_event().await.expect("whole").expect("an event");
    let streamed = server.call(0).await;
    for _ in 0..3 {
        // Its connection breaks again before anything has come.
        let mut again = client.resume(id(&primed)).await;
        primed = again.whole_event().await.expect("whole").expect("an event");
        assert_eq!(primed.data, "");
    }
    streamed.send_progress(1);
    streamed.respond("done");
    eventually("answered", || streamed.is_closed()).await;
    let mut again = client.resume(id(&primed)).await;
    assert_eq!(progress(&next(&mut again).await), 1);
    assert_eq!(text(&next(&mut again).await), "done");
}

#[tokio::test]
async fn immediate_responses_lack_ids() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |_| {}).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let begun = client.send_only(&call(&client, "1")).await;
    let streamed = server.call(0).await;
    streamed.send_progress(1);
    streamed.respond("done");
    let mut incoming = begun.incoming().await;
    while let Some(event) = incoming.whole_event().await.expect("whole") {
        assert_eq!((event.id, event.retry), (None, None));
    }
    assert_eq!(gateway.replay_count(), 0);
    let server = http(Eras::Both).await;
    let gateway = TestGateway::with_server(server.url()).await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let answer = client.send(&client.call("1", "up__echo", r#"{"text":"x"}"#)).await;
        assert_eq!(answer.head.get("content-type"), Some("application/json"));
    }
    assert_eq!(gateway.replay_count(), 0);
}

#[tokio::test]
async fn slow_call_gets_early_stream() {
    let server = http(Eras::Both).await;
    let gateway = TestGateway::with_server(server.url()).await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let mut incoming = client.begin(&client.call("1", "up__sleep", r#"{"ms":600}"#)).await;
        if version != ClientVersion::V2025_11_25 {
            assert_eq!(incoming.head.get("content-type"), Some("application/json"));
            incoming.rest().await.expect("whole");
            continue;
        }
        assert_eq!(incoming.head.get("content-type"), Some("text/event-stream"));
        let primed = incoming.whole_event().await.expect("whole").expect("an event");
        assert_eq!(primed.data, "");
        drop(incoming);
        let messages = client.resume(id(&primed)).await.messages().await.expect("whole");
        let [answer] = &messages[..] else {
            panic!("{messages:?}")
        };
        let answer: Value = serde_json::from_str(answer).expect("JSON");
        assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &Value::Null));
        // What goes wrong comes as an event as well.
        let answer = client.tool("up__nothing", json!({})).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
    }
}

#[tokio::test]
async fn resuming_closes_previous_stream() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |_| {}).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (mut first, streamed, event) = under_way(&client, &server, "1").await;
    let mut second = client.resume(id(&event)).await;
    assert_eq!(
        first.event().await.expect("a proper end"),
        None,
        "the first has it no more"
    );
    let mut third = client.resume(id(&event)).await;
    assert_eq!(second.event().await.expect("a proper end"), None);
    streamed.respond("done");
    assert_eq!(text(&next(&mut third).await), "done");
    assert_eq!(third.event().await.expect("a proper end"), None);
}

#[tokio::test]
async fn foreign_client_cannot_resume() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |_| {}).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (mut incoming, streamed, event) = under_way(&client, &server, "1").await;
    let event = id(&event);
    let other = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(other.resume(event).await.head.status, 400, "another session");
    let bob = gateway.client(ClientVersion::V2025_11_25).token("bob-token");
    let mut bobs = bob.at(gateway.address);
    bobs.handshake().await;
    assert_eq!(bobs.resume(event).await.head.status, 400, "another caller");
    bobs.session.clone_from(&client.session);
    assert_eq!(bobs.resume(event).await.head.status, 404, "another caller's session");
    let mut nobody = client.at(gateway.address);
    nobody.token = "nobody".into();
    assert_eq!(nobody.resume(event).await.head.status, 401);
    let (sealed, number) = event.split_once('.').expect("two parts");
    for odd in [
        "1",
        "x.1",
        sealed,
        &format!("{sealed}.{}", u64::MAX),
        &format!("{sealed}.2"),
        &format!("{}{}.{number}", &sealed[1..], &sealed[..1]),
    ] {
        // With a number that the stream has not reached, it is as at its end.
        let status = if odd.starts_with(sealed) && odd != sealed {
            405
        } else {
            400
        };
        assert_eq!(client.resume(odd).await.head.status, status, "{odd}");
    }
    streamed.respond("done");
    assert_eq!(text(&next(&mut incoming).await), "done", "nobody was in the way");
}

#[tokio::test]
async fn truncated_response_is_reported_failed() {
    let server = StreamingServer::start(false).await;
    let gateway = gateway(&server, |_| {}).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (mut incoming, streamed, first) = under_way(&client, &server, "1").await;
    let half = format!(
        r#"data: {{"jsonrpc":"2.0","id":{},"result":{{"content":[{{"type":"text","text":"{}"#,
        streamed.id(),
        "z".repeat(100_000)
    );
    streamed.send_raw(&half);
    streamed.send_raw("");
    assert!(incoming.event().await.is_err(), "half an answer is none");
    let mut again = client.resume(id(&first)).await;
    let failed = next(&mut again).await;
    assert_eq!(failed.json()["id"], 1);
    assert_eq!(
        failed.json()["result"]["_meta"]["dev.portolan/failure"]["cause"],
        "connection"
    );
    assert_eq!(again.event().await.expect("a proper end"), None);
    assert_eq!(client.resume(id(&failed)).await.head.status, 405);
}
