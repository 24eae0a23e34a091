//! Resumed streams across replicas, server requests, cancellations and the end of a session.

use std::{sync::Arc, time::Duration};

use portolan_core::{AuditEvent, AuditSink, ServerRequestPolicy};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion, HttpRequest},
    eventually,
    gateway::TestGateway,
    raw::{Event, ResponseStream},
    servers::requesting::RequestingServer,
    servers::streaming::{StreamedCall, StreamingServer},
};

fn call(client: &Client, id: &str) -> HttpRequest {
    client.call_with(id, "up__t", "{}", r#""progressToken":"p""#)
}

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

fn id(event: &Event) -> &str {
    event.id.as_deref().expect("an id")
}

/// A call that has said something, whose client has gone away then.
async fn left(client: &Client, server: &StreamingServer, request: &str) -> (StreamedCall, Event) {
    let number = server.calls();
    let begun = client.send_only(&call(client, request)).await;
    let streamed = server.call(number).await;
    streamed.send_progress(1);
    let event = next(&mut begun.incoming().await).await;
    (streamed, event)
}

#[tokio::test]
async fn stream_resumes_at_other_replica() {
    let server = StreamingServer::start(false).await;
    let gateways = TestGateway::builder().server("up", server.url()).start_replicas().await;
    for version in [ClientVersion::V2025_03_26, ClientVersion::V2025_11_25] {
        let client = gateways[0].connect(version).await;
        let there = client.at(gateways[1].address);
        let (streamed, event) = left(&client, &server, "1").await;
        streamed.send_progress(2);
        let mut again = there.resume(id(&event)).await;
        assert_eq!(
            (again.head.status, again.head.get("content-type")),
            (200, Some("text/event-stream"))
        );
        let second = next(&mut again).await;
        assert_eq!(second.json()["params"]["progress"], 2);
        streamed.send_progress(3);
        assert_eq!(next(&mut again).await.json()["params"]["progress"], 3, "it goes on");
        drop(again);
        streamed.respond("done");
        let mut again = there.resume(id(&second)).await;
        assert_eq!(next(&mut again).await.json()["params"]["progress"], 3);
        let answer = next(&mut again).await;
        assert_eq!(answer.json()["result"]["content"][0]["text"], "done");
        assert_eq!(again.event().await.expect("a proper end"), None);
        assert_eq!(there.resume(id(&answer)).await.head.status, 405);
    }
}

#[tokio::test]
async fn lost_replica_is_reported() {
    let server = StreamingServer::start(false).await;
    let [first, second] = TestGateway::builder().server("up", server.url()).start_replicas().await;
    let client = first.connect(ClientVersion::V2025_11_25).await;
    let (_talk, event) = left(&client, &server, "1").await;
    drop(first);
    let there = client.at(second.address);
    let mut again = there.resume(id(&event)).await;
    let lost = next(&mut again).await;
    assert_eq!(
        (&lost.json()["id"], &lost.json()["result"]["isError"]),
        (&json!(1), &json!(true))
    );
    assert_eq!(again.event().await.expect("a proper end"), None);
    assert_eq!(there.resume(id(&lost)).await.head.status, 405);
}

#[tokio::test]
async fn server_requests_survive_break() {
    for server in [
        RequestingServer::legacy().await,
        RequestingServer::modern().await,
        RequestingServer::resumable().await,
    ] {
        let gateways = TestGateway::builder()
            .server("up", server.url())
            .server_requests(ServerRequestPolicy::ALL)
            .start_replicas()
            .await;
        for version in [ClientVersion::V2025_06_18, ClientVersion::V2025_11_25] {
            let client = gateways[0].connect_with(version, r#"{"elicitation":{}}"#).await;
            let there = client.at(gateways[1].address);
            let arguments = r#"{"tag":"t","requests":2,"rounds":2,"progress":true}"#;
            let post = client.call_with("1", "up__ask", arguments, r#""progressToken":"p""#);
            let mut incoming = client.begin(&post).await;
            let mut answered = 0;
            let mut last: Option<String> = None;
            let answer = loop {
                let event = next(&mut incoming).await;
                let message = event.json();
                if message.get("result").is_some() {
                    break message;
                }
                // It is lost before it was read, wherever the client can name what came before.
                if let Some(last) = last.replace(id(&event).to_owned()) {
                    incoming = there.resume(&last).await;
                    let again = next(&mut incoming).await;
                    assert_eq!(again, event, "the same event, under the same id");
                }
                if message["method"] == "elicitation/create" {
                    let result = json!({"action": "accept", "content": {"tag": message["params"]["message"]}});
                    let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
                    let at = if answered % 2 == 0 { &client } else { &there };
                    assert_eq!(at.send(&at.post(answer.to_string())).await.status(), 202);
                    answered += 1;
                }
            };
            assert_eq!(answer["result"]["content"][0]["text"], "t:t,t,t,t", "{version:?}");
            assert_eq!(answered, 4);
        }
        assert_eq!(server.calls(), 2, "no call was made again");
        assert_eq!(server.unexpected_responses(), 0);
        let open = || {
            gateways
                .iter()
                .map(|gateway| gateway.server_request_count())
                .sum::<usize>()
        };
        eventually("nothing waits", || open() == 0).await;
    }
}

#[tokio::test]
async fn server_request_waits_for_client() {
    for server in [RequestingServer::legacy().await, RequestingServer::modern().await] {
        let gateway = TestGateway::requesting(server.url()).start().await;
        let client = gateway
            .connect_with(ClientVersion::V2025_11_25, r#"{"elicitation":{}}"#)
            .await;
        let mut incoming = client.begin(&client.call("1", "up__ask", r#"{"tag":"t"}"#)).await;
        let primed = incoming.whole_event().await.expect("whole").expect("an event");
        drop(incoming);
        eventually("the server has asked", || gateway.server_request_count() > 0).await;
        let mut again = client.resume(id(&primed)).await;
        let question = next(&mut again).await.json();
        assert_eq!(question["method"], "elicitation/create");
        let result = json!({"action": "accept", "content": {"tag": "said"}});
        let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        assert_eq!(client.send(&client.post(answer.to_string())).await.status(), 202);
        assert_eq!(next(&mut again).await.json()["result"]["content"][0]["text"], "t:said");
    }
}

#[tokio::test]
async fn absent_client_call_is_cancelled() {
    let server = StreamingServer::start(false).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (streamed, event) = left(&client, &server, "1").await;
    assert_eq!(client.cancel("1").await.status(), 202);
    eventually("the server is told", || server.cancelled() == 1).await;
    eventually("its stream is left", || streamed.is_closed()).await;
    gateway.drain(DEADLINE).await;
    assert_eq!(
        client.resume(id(&event)).await.head.status,
        405,
        "to a call that was cancelled there is nothing to say"
    );
    let (streamed, event) = left(&client, &server, "2").await;
    let mut again = client.resume(id(&event)).await;
    client.cancel("2").await;
    assert_eq!(again.event().await.expect("a proper end"), None);
    eventually("its stream is left", || streamed.is_closed()).await;
}

#[tokio::test]
async fn ended_session_drops_streams() {
    let server = StreamingServer::start(false).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (streamed, event) = left(&client, &server, "1").await;
    let (ended, _) = left(&client, &server, "2").await;
    ended.respond("done");
    eventually("the stream is over", || ended.is_closed()).await;
    assert_eq!(gateway.replay_count(), 2);
    assert_eq!(client.delete().await.status(), 204);
    assert_eq!(gateway.replay_count(), 0);
    eventually("the call is cancelled", || streamed.is_closed()).await;
    assert_eq!(client.resume(id(&event)).await.head.status, 404);
    gateway.drain(DEADLINE).await;
    assert_eq!(gateway.replay_count(), 0);
}

#[derive(Debug)]
struct SilentAudit;

impl AuditSink for SilentAudit {
    fn record(&self, _: &AuditEvent) {}
}

#[tokio::test]
async fn dropped_gateway_leaves_nothing() {
    let server = StreamingServer::start(false).await;
    let audit: Arc<dyn AuditSink> = Arc::new(SilentAudit);
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .audit(audit.clone())
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (running, _) = left(&client, &server, "1").await;
    let (ended, event) = left(&client, &server, "2").await;
    ended.respond("done");
    assert_eq!(
        next(&mut client.resume(id(&event)).await).await.json()["result"]["content"][0]["text"],
        "done"
    );
    drop(gateway);
    running.respond("done");
    eventually("nobody holds a part of it", || Arc::strong_count(&audit) == 1).await;
}

#[tokio::test]
async fn draining_gateway_still_replays() {
    let server = StreamingServer::start(false).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    let (streamed, event) = left(&client, &server, "1").await;
    let gateway = gateway.shared();
    let draining = tokio::spawn(async move { gateway.drain(DEADLINE).await });
    // Long enough for a drain that does not wait for the call.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!draining.is_finished(), "the call goes on");
    streamed.respond("done");
    draining.await.expect("drained");
    let answer: Value = next(&mut client.resume(id(&event)).await).await.json();
    assert_eq!(answer["result"]["content"][0]["text"], "done");
}
