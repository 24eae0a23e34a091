//! `subscriptions/listen`: what modern clients are told outside of calls, by servers of both eras.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use portolan_core::{AuthError, Authenticator, Caller, Challenge, GatewayName};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion},
    eventually,
    gateway::{TestGateway, tokens},
    servers::notifying::NotifyingServer,
};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const SHORT: Duration = Duration::from_millis(300);

async fn start(modern: bool) -> (NotifyingServer, TestGateway, Client) {
    let server = NotifyingServer::start(modern).await;
    let gateway = TestGateway::with_server(server.url()).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    (server, gateway, client)
}

fn changed(list: &str) -> String {
    format!("notifications/{list}/list_changed")
}

#[tokio::test]
async fn upstream_change_is_delivered() {
    for modern in [false, true] {
        let (server, _site, client) = start(modern).await;
        client.tools().await;
        let begun = Instant::now();
        let (mut stream, first) = client
            .listen(
                r#""l\u0031""#,
                r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#,
            )
            .await;
        assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
        let id = json!("l1");
        assert_eq!(
            first["params"],
            json!({"notifications": {"toolsListChanged": true, "resourceSubscriptions": ["file:///a"]}, "_meta": {SUBSCRIPTION: id}})
        );
        server.set_tools(&["t", "u"]);
        let told = Instant::now();
        assert_eq!(server.tools_changed(), 1);
        let event = stream.json().await;
        assert!(told.elapsed() < SHORT);
        assert_eq!(event["method"], changed("tools"));
        assert_eq!(event["params"]["_meta"][SUBSCRIPTION], id);
        assert_eq!(client.tools().await, ["up__t", "up__u"], "what is told is true by then");
        server.resource_updated("file:///a");
        let event = stream.json().await;
        assert_eq!(
            event["params"],
            json!({"uri": "file:///a", "_meta": {SUBSCRIPTION: id}})
        );
        // What was not asked for does not come.
        server.notify(&changed("prompts"), json!({}));
        server.resource_updated("file:///b");
        assert!(stream.is_silent(SHORT).await);
    }
}

#[tokio::test]
async fn unsupported_resource_is_not_granted() {
    for modern in [false, true] {
        let (server, _site, client) = start(modern).await;
        let filter = r#""resourcesListChanged":true,"promptsListChanged":false,"x":1,"resourceSubscriptions":["file:///unknown","file:///a"]"#;
        let (mut stream, first) = client.listen("7", filter).await;
        let accepted = json!({"resourcesListChanged": true, "resourceSubscriptions": ["file:///a"]});
        assert_eq!(first["params"]["notifications"], accepted);
        assert_eq!(first["params"]["_meta"][SUBSCRIPTION], 7);
        server.notify(&changed("resources"), json!({}));
        assert_eq!(stream.json().await["method"], changed("resources"));
    }
}

#[tokio::test]
async fn server_without_stream_grants_lists() {
    for modern in [false, true] {
        let (server, gateway, client) = start(modern).await;
        server.refuse_streams();
        let (mut stream, first) = client
            .listen("1", r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#)
            .await;
        assert_eq!(first["params"]["notifications"], json!({"toolsListChanged": true}));
        gateway.publish("default", &[]).await;
        assert_eq!(stream.json().await["method"], changed("tools"));
    }
}

#[tokio::test]
async fn invalid_filter_is_refused() {
    let (_teller, _site, client) = start(true).await;
    let many: Vec<_> = (0..1001).map(|at| format!("file:///{at}")).collect();
    for filter in [
        String::new(),
        r#""notifications":1"#.into(),
        r#""notifications":{"toolsListChanged":1}"#.into(),
        r#""notifications":{"resourceSubscriptions":"a"}"#.into(),
        r#""notifications":{"resourceSubscriptions":[1]}"#.into(),
        format!(r#""notifications":{{"resourceSubscriptions":{}}}"#, json!(many)),
    ] {
        let answer = client.call_method("subscriptions/listen", &filter).await;
        assert_eq!(answer.code(), -32602, "{filter}");
    }
}

#[tokio::test]
async fn notification_burst_is_coalesced() {
    let (server, _site, client) = start(true).await;
    let (mut stream, _) = client
        .listen("1", r#""toolsListChanged":true,"resourceSubscriptions":["a:1"]"#)
        .await;
    for _ in 0..200 {
        server.tools_changed();
    }
    let since = Instant::now();
    let mut count = 0;
    while !stream.is_silent(SHORT).await {
        count += 1;
        assert!(since.elapsed() < Duration::from_secs(2));
    }
    assert!((1..=3).contains(&count), "{count}");
    server.tools_changed();
    let since = Instant::now();
    assert_eq!(stream.json().await["method"], changed("tools"));
    assert!(since.elapsed() < SHORT);
}

#[tokio::test]
async fn listeners_share_upstream_stream() {
    for modern in [false, true] {
        let server = NotifyingServer::start(modern).await;
        let gateway = TestGateway::builder()
            .server("up", server.url())
            .config(|config| config.timeouts.listen_grace = Duration::from_millis(200))
            .start()
            .await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let mut streams = Vec::new();
        for at in 0..5 {
            let filter = format!(r#""toolsListChanged":true,"resourceSubscriptions":["file:///{at}"]"#);
            streams.push(client.listen(&at.to_string(), &filter).await.0);
        }
        eventually("one stream upstream", || server.streams() == 1).await;
        assert_eq!(server.subscribed().len(), 5);
        assert_eq!(gateway.stream_count(), 5);
        server.resource_updated("file:///3");
        assert_eq!(streams[3].json().await["params"]["_meta"][SUBSCRIPTION], 3);
        assert!(streams[2].is_silent(SHORT).await);
        // Resources that nobody wants any more are left.
        streams.remove(0);
        if !modern {
            eventually("unsubscribed", || {
                !server.subscribed().contains(&"file:///0".to_owned())
            })
            .await;
        }
        drop(streams);
        eventually("no stream upstream", || server.streams() == 0).await;
        eventually("no stream", || gateway.stream_count() == 0).await;
        // And another begins anew.
        let (mut stream, _) = client.listen("9", r#""toolsListChanged":true"#).await;
        server.wait_for_stream().await;
        server.tools_changed();
        assert_eq!(stream.json().await["method"], changed("tools"));
    }
}

#[tokio::test]
async fn broken_upstream_stream_reopens() {
    for modern in [false, true] {
        let (server, _site, client) = start(modern).await;
        client.tools().await;
        let (mut stream, _) = client
            .listen("1", r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#)
            .await;
        server.set_tools(&["changed", "meanwhile"]);
        server.close_streams();
        // Nobody has told of it, but it is found when the stream is opened again.
        assert_eq!(stream.json().await["method"], changed("tools"));
        eventually("it is opened again", || server.streams() == 1).await;
        eventually("told", || server.resource_updated("file:///a") == 1).await;
        assert_eq!(stream.json().await["params"]["uri"], "file:///a");
    }
}

#[tokio::test]
async fn publication_change_is_delivered() {
    let (first, second) = (NotifyingServer::start(true).await, NotifyingServer::start(false).await);
    let gateway = TestGateway::builder()
        .server("one", first.url())
        .published_as(["default", "other"])
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let other = gateway.connect(ClientVersion::V2026_07_28).await.gateway("other");
    let (mut stream, _) = client.listen("1", r#""toolsListChanged":true"#).await;
    let (mut elsewhere, _) = other.listen("1", r#""toolsListChanged":true"#).await;
    gateway
        .publish("default", &[("one", &first.url()), ("two", &second.url())])
        .await;
    assert_eq!(stream.json().await["method"], changed("tools"));
    assert_eq!(client.tools().await, ["one__t", "two__t"]);
    second.wait_for_stream().await;
    second.tools_changed();
    assert_eq!(
        stream.json().await["method"],
        changed("tools"),
        "the new server is listened to"
    );
    assert!(elsewhere.is_silent(SHORT).await);
    gateway.withdraw("default").await;
    let last = stream.json().await;
    assert_eq!(
        (&last["id"], &last["result"]["resultType"]),
        (&json!(1), &json!("complete"))
    );
    assert_eq!(stream.event().await.expect("no break"), None);
}

#[tokio::test]
async fn drain_ends_listen_with_result() {
    let (_teller, gateway, client) = start(true).await;
    let (mut stream, _) = client.listen(r#""x""#, r#""toolsListChanged":true"#).await;
    let legacy = gateway.connect(ClientVersion::V2025_11_25).await;
    let mut get = legacy.stream().await;
    gateway.drain(Duration::from_secs(5)).await;
    let last = stream.json().await;
    assert_eq!(last["id"], "x");
    assert_eq!(last["result"]["resultType"], "complete");
    assert_eq!(last["result"]["_meta"][SUBSCRIPTION], "x");
    assert_eq!(stream.event().await.expect("no break"), None);
    assert_eq!(get.event().await.expect("no break"), None);
    let refused = client
        .call_method("subscriptions/listen", r#""notifications":{}"#)
        .await;
    assert_eq!(refused.status(), 503);
    assert_eq!(legacy.stream().await.head.status, 503);
    assert_eq!(client.text("up__t", json!({})).await, "done", "calls go on");
}

#[tokio::test]
async fn listens_are_bounded_and_kept_alive() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .config(|config| {
            config.timeouts.keep_alive = Duration::from_millis(50);
            config.limits.listens = 2;
            config.limits.streams = 3;
        })
        .start()
        .await;
    let (alice, bob) = (
        gateway.connect(ClientVersion::V2026_07_28).await,
        gateway.connect(ClientVersion::V2026_07_28).await.token("bob-token"),
    );
    let (mut one, _) = alice.listen("1", "").await;
    let (_two, _) = alice.listen("2", "").await;
    let full = |client: Client| async move {
        client
            .call_method("subscriptions/listen", r#""notifications":{}"#)
            .await
            .status()
    };
    assert_eq!(full(alice.at(gateway.address)).await, 429);
    let (_three, _) = bob.listen("1", "").await;
    assert_eq!(
        full(bob.at(gateway.address)).await,
        429,
        "there is no place for anybody"
    );
    let mut comments = 0;
    while comments < 3 {
        let piece = timeout(DEADLINE, one.piece())
            .await
            .expect("a comment")
            .expect("no break")
            .expect("no end");
        comments += piece.windows(3).filter(|bytes| bytes == b":\n\n").count();
    }
    drop(one);
    eventually("its place is free", || gateway.stream_count() == 2).await;
    alice.listen("3", "").await;
}

/// Lets in alice and bob until it is set.
#[derive(Clone, Debug, Default)]
struct Revocable(Arc<AtomicBool>);

#[async_trait::async_trait]
impl Authenticator for Revocable {
    async fn authenticate(
        &self,
        name: &GatewayName,
        request: &http::request::Parts,
    ) -> Result<Option<Arc<Caller>>, AuthError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(AuthError::Expired);
        }
        tokens().authenticate(name, request).await
    }

    fn challenge(&self, _: &GatewayName) -> Option<Challenge> {
        None
    }
}

#[tokio::test]
async fn revoked_caller_stream_ends() {
    let (server, revocable) = (NotifyingServer::start(true).await, Revocable::default());
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .authenticator(revocable.clone())
        .config(|config| config.timeouts.recheck = Duration::from_millis(100))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let (mut stream, _) = client.listen("1", r#""toolsListChanged":true"#).await;
    assert!(stream.is_silent(SHORT).await);
    revocable.0.store(true, Ordering::Relaxed);
    assert_eq!(stream.event().await.expect("no break"), None);
}

#[tokio::test]
async fn slow_reader_is_disconnected() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::builder()
        .server("up", server.url())
        .config(|config| config.limits.stream_queue = 64)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let uris: Vec<_> = (0..500)
        .map(|at| format!("file:///{at}-{}", "x".repeat(1500)))
        .collect();
    let filter = format!(r#""resourceSubscriptions":{}"#, json!(uris));
    let (slow, _) = client.listen("1", &filter).await;
    let (mut fast, _) = client.listen("2", &filter).await;
    let count = 40;
    for _ in 0..count {
        assert!(uris.iter().map(|uri| server.resource_updated(uri)).sum::<usize>() >= uris.len());
        for uri in &uris {
            assert_eq!(fast.json().await["params"]["uri"], *uri);
        }
    }
    let got = timeout(DEADLINE, slow.messages()).await.expect("an end");
    let got = got.expect("a proper end");
    assert!(got.len() < count * uris.len(), "{}", got.len());
    for text in got {
        let _: Value = serde_json::from_str(&text).expect("JSON");
    }
}
