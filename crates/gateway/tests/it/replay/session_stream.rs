//! The GET stream of a session is resumed.

use std::time::Duration;

use tokio::time::timeout;

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    raw::{Event, ResponseStream},
    servers::notifying::NotifyingServer,
};

const SHORT: Duration = Duration::from_millis(300);
const LISTS: [&str; 3] = ["prompts", "resources", "tools"];

/// A session that has subscribed to so many resources, and its stream.
async fn subscribed(
    server: &NotifyingServer,
    gateway: &TestGateway,
    version: ClientVersion,
    uris: &[&str],
) -> (Client, ResponseStream) {
    let client = gateway.connect(version).await;
    for uri in uris {
        let answer = client
            .call_method("resources/subscribe", &format!(r#""uri":"{uri}""#))
            .await;
        assert_eq!(answer.code(), 0, "{answer:?}");
    }
    let stream = client.stream().await;
    server.wait_for_stream().await;
    (client, stream)
}

/// The next event that says something.
async fn next(stream: &mut ResponseStream) -> Event {
    loop {
        let event = timeout(DEADLINE, stream.whole_event()).await.expect("an event in time");
        let event = event.expect("no break").expect("an event");
        if !event.data.is_empty() {
            return event;
        }
    }
}

/// The next event is about this resource.
async fn told(stream: &mut ResponseStream, uri: &str) -> String {
    let event = next(stream).await;
    assert_eq!(event.json()["params"]["uri"], uri, "{event:?}");
    event.id.expect("an id")
}

#[tokio::test]
async fn lost_notification_is_replayed() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::with_server(server.url()).await;
    for version in [
        ClientVersion::V2025_03_26,
        ClientVersion::V2025_06_18,
        ClientVersion::V2025_11_25,
    ] {
        let (client, mut stream) = subscribed(&server, &gateway, version, &["file:///a", "file:///b"]).await;
        eventually("told", || server.resource_updated("file:///a") > 0).await;
        let first = told(&mut stream, "file:///a").await;
        server.resource_updated("file:///b");
        let second = told(&mut stream, "file:///b").await;
        for (last, lost) in [(&first, true), (&second, false), (&first, true)] {
            // Its connection is open still, and the next one takes its place.
            let mut again = client.resume(last).await;
            assert_eq!(stream.event().await.expect("a proper end"), None);
            if lost {
                assert_eq!(
                    told(&mut again, "file:///b").await,
                    second,
                    "the same event, under the same id"
                );
            }
            assert!(again.is_silent(SHORT).await, "nothing else was lost");
            stream = again;
        }
        server.resource_updated("file:///a");
        told(&mut stream, "file:///a").await;
        assert_eq!(client.delete().await.status(), 204);
    }
}

#[tokio::test]
async fn stream_is_primed_with_id() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let (client, mut stream) = subscribed(&server, &gateway, ClientVersion::V2025_11_25, &["file:///a"]).await;
    let primed = stream.whole_event().await.expect("whole").expect("an event");
    assert_eq!((primed.data.as_str(), primed.retry), ("", Some(1000)));
    eventually("told", || server.resource_updated("file:///a") > 0).await;
    told(&mut stream, "file:///a").await;
    let mut again = client.resume(&primed.id.expect("an id")).await;
    told(&mut again, "file:///a").await;
    let (_, mut stream) = subscribed(&server, &gateway, ClientVersion::V2025_06_18, &["file:///a"]).await;
    eventually("told", || server.resource_updated("file:///a") > 0).await;
    let event = stream.whole_event().await.expect("whole").expect("an event");
    assert!(!event.data.is_empty(), "{event:?}");
}

#[tokio::test]
async fn other_stream_events_not_replayed() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let (client, mut first) = subscribed(
        &server,
        &gateway,
        ClientVersion::V2025_11_25,
        &["file:///a", "file:///b"],
    )
    .await;
    server.resource_updated("file:///a");
    let last = told(&mut first, "file:///a").await;
    let mut second = client.stream().await;
    server.resource_updated("file:///b");
    told(&mut second, "file:///b").await;
    drop(first);
    eventually("it is closed", || gateway.stream_count() == 1).await;
    let mut again = client.resume(&last).await;
    assert!(again.is_silent(SHORT).await);
    server.resource_updated("file:///b");
    told(&mut again, "file:///b").await;
    assert!(second.is_silent(SHORT).await, "the newest is told");
}

#[tokio::test]
async fn repeated_resume_uses_one_slot() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let (client, mut stream) = subscribed(&server, &gateway, ClientVersion::V2025_11_25, &[]).await;
    let mut broken = Vec::new();
    for _ in 0..20 {
        let primed = stream.whole_event().await.expect("whole").expect("an event");
        // Nobody has noticed yet that its connections are broken.
        broken.push(stream);
        stream = client.resume(&primed.id.expect("an id")).await;
        assert_eq!(stream.head.status, 200);
    }
    eventually("the others are closed", || gateway.stream_count() == 1).await;
}

#[tokio::test]
async fn unknown_gap_reports_all_changed() {
    let server = NotifyingServer::start(false).await;
    let gateways = TestGateway::builder().server("up", server.url()).start_replicas().await;
    let (client, mut stream) = subscribed(&server, &gateways[0], ClientVersion::V2025_11_25, &["file:///a"]).await;
    eventually("told", || server.resource_updated("file:///a") > 0).await;
    let last = told(&mut stream, "file:///a").await;
    drop(stream);
    let there = client.at(gateways[1].address);
    let mut again = there.resume(&last).await;
    assert_eq!(again.head.status, 200);
    let mut changed = Vec::new();
    for _ in LISTS {
        changed.push(
            next(&mut again).await.json()["method"]
                .as_str()
                .expect("a method")
                .to_owned(),
        );
    }
    changed.sort();
    assert_eq!(changed, LISTS.map(|list| format!("notifications/{list}/list_changed")));
    eventually("both replicas have subscribed", || {
        server.params_of("resources/subscribe").len() == 2
    })
    .await;
    server.resource_updated("file:///a");
    told(&mut again, "file:///a").await;
}
