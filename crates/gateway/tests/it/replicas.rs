//! Two gateways with the same keys and one session store are one gateway.

use std::{sync::Arc, time::Duration};

use portolan_core::{Clock, SystemClock, memory::ManualClock};
use portolan_gateway::TokenKeys;
use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    client::{Client, ClientVersion},
    eventually, eventually_async,
    gateway::TestGateway,
    replicas::Replicas,
    servers::notifying::NotifyingServer,
    upstreams::{Eras, HttpFixture, http},
};

async fn start(upstream: &HttpFixture) -> [TestGateway; 2] {
    let builder = TestGateway::builder().server("up", upstream.url());
    builder.start_replicas().await
}

#[tokio::test]
async fn unseen_session_is_served() {
    let upstream = http(Eras::Legacy).await;
    let [first, second] = start(&upstream).await;
    for version in [ClientVersion::V2025_03_26, ClientVersion::V2025_11_25] {
        let client = first.connect(version).await;
        let there = client.at(second.address);
        assert_eq!(client.text("up__echo", json!({"text": "here"})).await, "here");
        assert_eq!(there.text("up__echo", json!({"text": "there"})).await, "there");
        let batch = client.post(r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#);
        let status = if version == ClientVersion::V2025_03_26 {
            200
        } else {
            400
        };
        assert_eq!(there.send(&batch).await.status(), status, "the version went along");
    }
    assert_eq!(
        first
            .connect(ClientVersion::V2025_06_18)
            .await
            .token("bob-token")
            .at(second.address)
            .call_method("ping", "")
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn other_key_rejects_session() {
    let upstream = http(Eras::Both).await;
    let [first, other] = TestGateway::builder()
        .server("up", upstream.url())
        .replica_parts(|number, parts| parts.keys = TokenKeys::new(1, &[[7, 8][number]; 32]).expect("keys"))
        .start_replicas()
        .await;
    let client = first.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(client.at(other.address).call_method("ping", "").await.status(), 404);
}

#[tokio::test]
async fn ended_session_unknown_elsewhere() {
    let upstream = http(Eras::Both).await;
    let [first, second] = start(&upstream).await;
    let client = first.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(client.delete().await.status(), 204);
    assert_eq!(client.at(second.address).call_method("ping", "").await.status(), 404);
    assert_eq!(client.at(second.address).delete().await.status(), 404);
}

#[tokio::test]
async fn ended_session_ends_elsewhere() {
    let upstream = http(Eras::Legacy).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let [first, second] = TestGateway::builder()
        .server("up", upstream.url())
        .clock(clock.clone())
        .start_replicas()
        .await;
    let client = first.connect(ClientVersion::V2025_11_25).await;
    let there = client.at(second.address);
    there.text("up__echo", json!({"text": "x"})).await;
    let before = upstream.sessions();
    assert_eq!(client.delete().await.status(), 204);
    clock.advance(Duration::from_secs(5));
    assert_eq!(there.call_method("ping", "").await.status(), 404);
    eventually("its session upstream is ended too", || upstream.sessions() < before).await;
}

/// A client whose session both replicas know.
async fn connect(replicas: &Replicas, version: ClientVersion) -> Client {
    let client = replicas.connect(version, "{}").await;
    for replica in [replicas.first(), replicas.second()] {
        if !version.is_modern() {
            assert_eq!(client.at(replica.address).call_method("ping", "").await.status(), 200);
        }
    }
    client
}

fn subscribe(uri: &str) -> String {
    format!(r#""uri":"{uri}""#)
}

#[tokio::test]
async fn subscriptions_are_shared() {
    for modern in [false, true] {
        let server = NotifyingServer::start(modern).await;
        let replicas = Replicas::with_server(server.url()).await;
        let client = connect(&replicas, ClientVersion::V2025_11_25).await;
        let (here, there) = (replicas.route(&client), replicas.route(&client));
        let mut stream = here.stream().await;
        assert_eq!(
            there
                .call_method("resources/subscribe", &subscribe("file:///a"))
                .await
                .code(),
            0
        );
        eventually("both replicas have subscribed", || match modern {
            true => server.resource_updated("file:///a") == 2,
            false => server.params_of("resources/subscribe").len() == 2,
        })
        .await;
        server.resource_updated("file:///a");
        let event = stream.json().await;
        assert_eq!(event["params"]["uri"], "file:///a");
        // Whatever replica is asked, the session has one set of subscriptions.
        let asker = replicas.route(&client);
        assert_eq!(
            asker
                .call_method("resources/unsubscribe", &subscribe("file:///a"))
                .await
                .code(),
            0
        );
        for _ in 0..50 {
            if stream.is_silent(Duration::from_millis(300)).await {
                break;
            }
        }
        server.resource_updated("file:///a");
        assert!(stream.is_silent(Duration::from_millis(300)).await);
    }
}

#[tokio::test]
async fn cancellation_crosses_replicas() {
    for modern in [false, true] {
        let server = NotifyingServer::start(modern).await;
        let replicas = Replicas::with_server(server.url()).await;
        let client = connect(&replicas, ClientVersion::V2025_11_25).await;
        let (here, there) = (replicas.route(&client), replicas.route(&client));
        let incoming = here.send_only(&here.call("\"c\"", "up__t", r#"{"hold":true}"#)).await;
        eventually("the call is under way", || !server.params_of("tools/call").is_empty()).await;
        assert_eq!(there.cancel("\"other\"").await.status(), 202);
        let stranger = connect(&replicas, ClientVersion::V2025_11_25).await;
        stranger.cancel("\"c\"").await;
        assert!(
            timeout(Duration::from_millis(200), async {
                replicas.route(&client).call_method("ping", "").await
            })
            .await
            .is_ok()
        );
        assert_eq!(there.cancel("\"c\"").await.status(), 202);
        let messages = incoming.incoming().await.messages().await.expect("a proper end");
        assert!(messages.is_empty(), "{messages:?}");
        if !modern {
            eventually("the server is told", || {
                server.params_of("notifications/cancelled").len() == 1
            })
            .await;
        }
    }
}

#[tokio::test]
async fn log_level_is_shared() {
    let server = NotifyingServer::start(true).await;
    let replicas = Replicas::with_server(server.url()).await;
    let client = connect(&replicas, ClientVersion::V2025_06_18).await;
    let asker = replicas.route(&client);
    assert_eq!(
        asker.call_method("logging/setLevel", r#""level":"alert""#).await.code(),
        0
    );
    let level = || {
        let called = server.params_of("tools/call");
        called
            .last()
            .map(|params| params["_meta"]["io.modelcontextprotocol/logLevel"] == "alert")
    };
    let there = replicas.route(&client);
    eventually_async("the other replica knows the level", async || {
        there.text("up__t", json!({})).await;
        level() == Some(true)
    })
    .await;
}

#[tokio::test]
async fn session_end_is_broadcast() {
    let server = NotifyingServer::start(false).await;
    let replicas = Replicas::with_server(server.url()).await;
    let client = connect(&replicas, ClientVersion::V2025_11_25).await;
    let (here, there) = (replicas.route(&client), replicas.route(&client));
    let mut stream = here.stream().await;
    here.text("up__t", json!({})).await;
    assert_eq!(there.delete().await.status(), 204);
    assert_eq!(stream.event().await.expect("no break"), None);
    assert_eq!(here.call_method("ping", "").await.status(), 404);
    assert_eq!(here.stream().await.head.status, 404);
}

#[tokio::test]
async fn clients_of_drained_replica_continue() {
    for version in ClientVersion::EACH_ERA {
        let server = NotifyingServer::start(false).await;
        let mut replicas = Replicas::with_server(server.url()).await;
        let client = connect(&replicas, version).await;
        let filter = r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#;
        let here = client.at(replicas.second().address);
        let mut stream = if version.is_modern() {
            here.listen("1", filter).await.0
        } else {
            assert_eq!(
                here.call_method("resources/subscribe", &subscribe("file:///a"))
                    .await
                    .code(),
                0
            );
            here.stream().await
        };
        eventually("told", || server.resource_updated("file:///a") > 0).await;
        assert_eq!(stream.json().await["params"]["uri"], "file:///a");
        replicas.second().drain(Duration::from_secs(5)).await;
        replicas.kill_second();
        while let Ok(Some(_)) = stream.event().await {}
        let there = replicas.route(&client);
        let mut stream = if version.is_modern() {
            there.listen("2", filter).await.0
        } else {
            there.stream().await
        };
        // The server may still count on the stream of the replica that is gone, and notify nobody else.
        let mut notification = None;
        eventually_async("the client is notified by the other", async || {
            server.resource_updated("file:///a");
            notification = timeout(Duration::from_millis(300), stream.json()).await.ok();
            notification.is_some()
        })
        .await;
        assert_eq!(notification.expect("one")["params"]["uri"], "file:///a");
    }
}

#[tokio::test]
async fn every_replica_sends_notifications() {
    let server = NotifyingServer::start(true).await;
    let replicas = Replicas::with_server(server.url()).await;
    let client = connect(&replicas, ClientVersion::V2026_07_28).await;
    let mut streams = Vec::new();
    for id in ["1", "2", "3", "4"] {
        streams.push(replicas.route(&client).listen(id, r#""toolsListChanged":true"#).await.0);
    }
    assert_eq!(server.streams(), 2, "one of each replica");
    server.set_tools(&["new"]);
    server.tools_changed();
    for stream in &mut streams {
        assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
        assert_eq!(replicas.route(&client).tools().await, ["up__new"]);
    }
}
