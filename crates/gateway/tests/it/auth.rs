//! Who is let in, and what of their credentials goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream, stream::BoxStream};
use portolan_core::{
    Change, Clock, GatewaySpec, HttpEndpoint, Install, InstallName, Key, Owner, Page, Precondition, Publication,
    Record, RecordKind, Registry, Result, Revision, Route, ServerSpec, Subject, SystemClock, Version, Versioned,
    memory::{ManualClock, MemoryRegistry},
};
use portolan_gateway::{Hosts, McpGateway, StaticTokens, Upstream, digest};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    client::{Client, ClientVersion, HttpRequest},
    gateway::{TestGateway, gateway_name, grant, user},
    raw::HttpResponse,
    upstreams::{Eras, HttpFixture, http},
};

async fn world() -> (HttpFixture, TestGateway) {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    (upstream, gateway)
}

/// The same server behind gateways of these names.
async fn published(upstream: &HttpFixture, gateway: &McpGateway, name: &str, passthrough: &[&str]) {
    let url = HttpEndpoint::new(upstream.url().parse().expect("a URL")).url;
    let server = Arc::new(ServerSpec::remote("up", url.as_str()).expect("a server"));
    let install = Install::new(
        InstallName::new(&SystemClock),
        server.name.clone(),
        Owner::Org,
        SystemClock.now(),
    );
    let mut spec = GatewaySpec::new(gateway_name(name));
    spec.passthrough = passthrough.iter().map(|name| (*name).to_owned()).collect();
    let routes = vec![Route::new(server, vec![install.into()], true)];
    portolan_core::Gateway::publish(gateway, Publication::new(spec, routes))
        .await
        .expect("published");
}

#[track_caller]
fn unauthorized(answer: &HttpResponse, error: Option<&str>) {
    assert_eq!(answer.status(), 401, "{answer:?}");
    let challenge = answer.head.get("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Bearer realm=\"default\""), "{challenge}");
    match error {
        None => assert!(!challenge.contains("error"), "{challenge}"),
        Some(error) => assert!(challenge.contains(&format!("error=\"{error}\"")), "{challenge}"),
    }
}

#[tokio::test]
async fn only_valid_tokens_authenticate() {
    let (upstream, gateway) = world().await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    let call = || client.call("1", "up__echo", r#"{"text":"x"}"#);
    let none = [
        call().without("authorization"),
        call()
            .without("authorization")
            .path("/mcp/default?access_token=alice-token&token=alice-token"),
        call().without("authorization").and("cookie", "token=alice-token"),
        call().without("authorization").and("x-api-key", "alice-token"),
        call().with("authorization", "Basic YWxpY2U6YWxpY2UtdG9rZW4="),
        call().with("authorization", "alice-token"),
        call().with("authorization", "Bearer"),
        call().with("authorization", "Bearer  "),
        call().without("authorization").verb("GET"),
        call().without("authorization").verb("DELETE"),
        call().without("authorization").verb("OPTIONS"),
    ];
    for post in none {
        unauthorized(&client.send(&post).await, None);
    }
    let long = format!("Bearer {}", "x".repeat(4000));
    let bad = [
        call().with("authorization", "Bearer wrong"),
        call().with("authorization", "Bearer alice-token bob-token"),
        call().with("authorization", "Bearer ALICE-TOKEN"),
        call().with("authorization", &long),
        call().with("authorization", "Bearer älice"),
        call().and("authorization", "Bearer bob-token"),
        call().and("authorization", "Bearer alice-token"),
        call().and("authorization", "Basic eA=="),
    ];
    for post in bad {
        unauthorized(&client.send(&post).await, Some("invalid_token"));
    }
    assert_eq!(upstream.counters().calls, 0);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let post = call().with("authorization", &format!("{scheme} alice-token"));
        assert_eq!(client.send(&post).await.status(), 200);
    }
}

#[tokio::test]
async fn unknown_gateway_needs_valid_token() {
    let (_upstream, gateway) = world().await;
    let client = gateway.client(ClientVersion::V2026_07_28).gateway("other");
    assert_eq!(client.call_method("tools/list", "").await.status(), 404);
    assert_eq!(client.token("wrong").call_method("tools/list", "").await.status(), 401);
}

#[tokio::test]
async fn grant_is_scoped_and_expires() {
    let upstream = http(Eras::Both).await;
    let clock = Arc::new(ManualClock::new(SystemClock.now()));
    let mut some = grant("some", Subject::User(user("alice")));
    some.gateways = Some(vec![gateway_name("default")]);
    let mut none = grant("none", Subject::User(user("alice")));
    none.gateways = Some(Vec::new());
    let mut short = grant("short", Subject::User(user("alice")));
    short.expires = Some(clock.now() + Duration::from_secs(1));
    let gateway = TestGateway::builder()
        .unpublished()
        .authenticator(StaticTokens::from_grants([some, none, short], clock.clone()))
        .start()
        .await;
    published(&upstream, &gateway, "default", &[]).await;
    published(&upstream, &gateway, "other", &[]).await;
    let client = |token: &str| gateway.client(ClientVersion::V2026_07_28).token(token);
    assert_eq!(client("some").call_method("tools/list", "").await.status(), 200);
    let answer = client("some").gateway("other").call_method("tools/list", "").await;
    assert_eq!(answer.status(), 403);
    assert!(answer.head.get("www-authenticate").is_none(), "{answer:?}");
    assert_eq!(client("none").call_method("tools/list", "").await.status(), 403);
    assert_eq!(client("short").call_method("tools/list", "").await.status(), 200);
    clock.advance(Duration::from_secs(1));
    unauthorized(
        &client("short").call_method("tools/list", "").await,
        Some("invalid_token"),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registry_token_revoked_within_second() {
    let upstream = http(Eras::Both).await;
    let registry = Arc::new(MemoryRegistry::new());
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    for round in 0..5 {
        let token = format!("token-{round}");
        let client = gateway.client(ClientVersion::V2026_07_28).token(&token);
        unauthorized(&client.call_method("tools/list", "").await, Some("invalid_token"));
        let record = Record::Token(grant(&token, Subject::User(user("alice"))));
        registry.put(record, Precondition::Absent).await.expect("put");
        assert_eq!(
            client.call_method("tools/list", "").await.status(),
            200,
            "a new token is good at once"
        );
        registry
            .remove(&Key::Token(digest(&token)), Precondition::None)
            .await
            .expect("removed");
        let revoked = Instant::now();
        while client.call_method("tools/list", "").await.status() == 200 {
            assert!(
                revoked.elapsed() < Duration::from_secs(1),
                "a revoked token still opens"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_revoked_during_first_use() {
    let registry = Arc::new(MemoryRegistry::new());
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    for round in 0..100 {
        let token = format!("token-{round}");
        let client = gateway.client(ClientVersion::V2026_07_28).token(&token);
        let record = Record::Token(grant(&token, Subject::User(user("alice"))));
        registry.put(record, Precondition::Absent).await.expect("put");
        let key = Key::Token(digest(&token));
        let (_, removed) = tokio::join!(
            client.call_method("tools/list", ""),
            registry.remove(&key, Precondition::None)
        );
        removed.expect("removed");
        let revoked = Instant::now();
        while client.call_method("tools/list", "").await.status() == 200 {
            assert!(
                revoked.elapsed() < Duration::from_secs(1),
                "a revoked token still opens"
            );
        }
    }
}

/// A registry whose feed begins late, and one of whose answers can be held back after it was read.
#[derive(Debug)]
struct Held {
    registry: Arc<MemoryRegistry>,
    feed: Arc<Notify>,
    holding: AtomicBool,
    read: Notify,
    go_on: Notify,
}

#[async_trait::async_trait]
impl Registry for Held {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        let found = self.registry.get(key).await;
        if self.holding.swap(false, Ordering::SeqCst) {
            self.read.notify_one();
            self.go_on.notified().await;
        }
        found
    }

    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        self.registry.put(record, when).await
    }

    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        self.registry.remove(key, when).await
    }

    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        self.registry.list(kind, page).await
    }

    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        let (registry, feed) = (self.registry.clone(), self.feed.clone());
        let begun = stream::once(async move { feed.notified().await });
        begun.flat_map(move |()| registry.changes(since)).boxed()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_revoked_during_lookup() {
    let registry = Arc::new(Held {
        registry: Arc::new(MemoryRegistry::new()),
        feed: Arc::default(),
        holding: AtomicBool::new(false),
        read: Notify::new(),
        go_on: Notify::new(),
    });
    let tokens = StaticTokens::follow(registry.clone(), Arc::new(SystemClock))
        .await
        .expect("tokens");
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().unpublished().authenticator(tokens).start().await;
    published(&upstream, &gateway, "default", &[]).await;
    let client = gateway.client(ClientVersion::V2026_07_28).token("ptl_late");
    let key = Key::Token(digest("ptl_late"));
    let record = Record::Token(grant("ptl_late", Subject::User(user("alice"))));
    registry.put(record, Precondition::Absent).await.expect("put");
    registry.holding.store(true, Ordering::SeqCst);
    let first_use = client.call_method("tools/list", "");
    let revoking = async {
        registry.read.notified().await;
        registry.remove(&key, Precondition::None).await.expect("removed");
        registry.feed.notify_one();
        // Long enough for the change to be followed, if it does not wait for its turn.
        tokio::time::sleep(Duration::from_millis(50)).await;
        registry.go_on.notify_one();
    };
    tokio::join!(first_use, revoking);
    let revoked = Instant::now();
    while client.call_method("tools/list", "").await.status() == 200 {
        assert!(
            revoked.elapsed() < Duration::from_secs(1),
            "a revoked token still opens"
        );
    }
}

/// The headers that reached the server.
async fn arrived(client: &Client, post: &HttpRequest) -> Value {
    let answer = client.send(post).await.json();
    answer["result"]["structuredContent"]["headers"].clone()
}

#[tokio::test]
async fn client_credentials_are_not_forwarded() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let plain = Upstream::http(upstream.url());
        let secret = Upstream::http(upstream.url())
            .bearer("theirs")
            .header("x-tenant", "acme");
        let gateway = TestGateway::builder()
            .upstream("up", plain)
            .upstream("secret", secret)
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let dressed = |tool: &str| {
                client
                    .call("1", tool, "{}")
                    .and("cookie", "session=alice")
                    .and("proxy-authorization", "Basic eA==")
                    .and("x-forwarded-for", "10.0.0.1")
                    .and("x-tenant", "evil")
                    .and("traceparent", "00-1-2-03")
                    .and("mcp-odd", "x")
            };
            let headers = arrived(&client, &dressed("up__whoami")).await;
            for name in [
                "authorization",
                "cookie",
                "proxy-authorization",
                "x-forwarded-for",
                "x-tenant",
                "mcp-odd",
                "origin",
            ] {
                assert_eq!(headers.get(name), None, "{name}");
            }
            assert_eq!(headers["host"], upstream.address().to_string());
            assert_eq!(headers["accept"], "application/json, text/event-stream");
            let headers = arrived(&client, &dressed("secret__whoami")).await;
            assert_eq!(headers["authorization"], "Bearer theirs");
            assert_eq!(headers["x-tenant"], "acme");
            assert_eq!(headers.get("cookie"), None);
        }
        for seen in upstream.requests() {
            assert!(!format!("{:?}", seen.headers).contains("alice-token"));
        }
    }
}

#[tokio::test]
async fn only_listed_headers_pass() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().unpublished().start().await;
    let list = [
        "X-Request-Id",
        "traceparent",
        "authorization",
        "cookie",
        "host",
        "origin",
        "mcp-session-id",
        "mcp-name",
        "content-length",
        "transfer-encoding",
        "connection",
        "accept",
        "proxy-authorization",
        "sec-fetch-site",
        "te",
        "not a header",
        "content-type",
    ];
    published(&upstream, &gateway, "default", &list).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let post = client
            .call("1", "up__whoami", "{}")
            .and("x-request-id", "r-1")
            .and("traceparent", "00-1-2-03")
            .and("cookie", "a=b")
            .and("proxy-authorization", "Basic eA==")
            .and("sec-fetch-site", "none")
            .and("x-other", "y");
        let headers = arrived(&client, &post).await;
        assert_eq!(
            (&headers["x-request-id"], &headers["traceparent"]),
            (&json!("r-1"), &json!("00-1-2-03"))
        );
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "sec-fetch-site",
            "x-other",
            "te",
            "transfer-encoding",
        ] {
            assert_eq!(headers.get(name), None, "{name}");
        }
        assert_eq!(headers["host"], upstream.address().to_string());
        let own = headers.get("mcp-session-id").and_then(Value::as_str);
        assert_ne!(own, client.session.as_deref().or(Some("")));
    }
}

#[tokio::test]
async fn foreign_hosts_and_origins_refused() {
    let upstream = http(Eras::Both).await;
    let gateways = [
        (Hosts::Loopback, vec![], vec!["mcp.example.com", "MCP.example.com:443"]),
        (
            Hosts::Only(vec!["mcp.example.com".into()]),
            vec!["mcp.example.com", "MCP.example.com:443"],
            vec![],
        ),
    ];
    for (hosts, more, less) in gateways {
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| {
                config.hosts = hosts;
                config.origins = vec!["https://app.example.com".into()];
            })
            .start()
            .await;
        let client = gateway.client(ClientVersion::V2026_07_28);
        let list = || client.request("1", "tools/list", "", "");
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1",
            "127.0.0.1:99",
            "[::1]",
            "[::1]:80",
        ]
        .iter()
        .chain(&more)
        {
            assert_eq!(client.send(&list().with("host", host)).await.status(), 200, "{host}");
            let origin = format!("http://{host}");
            assert_eq!(
                client.send(&list().with("origin", &origin)).await.status(),
                200,
                "{origin}"
            );
        }
        for host in [
            "evil.com",
            "localhost.evil.com",
            "127.0.0.1.evil.com",
            "127.0.0.2",
            "[::2]",
            "",
            "evil.com:80@localhost",
            "localhost:80:evil",
        ]
        .iter()
        .chain(&less)
        {
            let answer = client.send(&list().with("host", host)).await;
            assert!(
                answer.status() == 403 || (answer.status() == 400 && answer.body.is_empty()),
                "{host:?} {answer:?}"
            );
        }
        for origin in [
            "https://evil.com",
            "null",
            "http://localhost.evil.com",
            "http://localhost@evil.com",
            "file://",
            "http://evil.com/localhost",
            "ftp://localhost",
            "https://app.example.com.evil.com",
        ] {
            let answer = client.send(&list().with("origin", origin)).await;
            assert_eq!((answer.status(), answer.code()), (403, -32600), "{origin}");
            assert!(
                !answer
                    .head
                    .headers
                    .iter()
                    .any(|(name, _)| name.starts_with("access-control")),
                "CORS is not reflected"
            );
        }
        let answer = client.send(&list().with("origin", "https://app.example.com")).await;
        assert_eq!(answer.status(), 200);
        assert!(
            !answer
                .head
                .headers
                .iter()
                .any(|(name, _)| name.starts_with("access-control"))
        );
        assert_eq!(
            client
                .send(
                    &list()
                        .with("origin", "http://localhost")
                        .and("origin", "http://localhost")
                )
                .await
                .status(),
            403
        );
        assert_eq!(client.send(&list().without("host")).await.status(), 403);
        // The check comes before the one for a token: it says nothing about tokens.
        assert_eq!(
            client
                .send(&list().with("host", "evil.com").without("authorization"))
                .await
                .status(),
            403
        );
    }
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.hosts = Hosts::Any)
        .start()
        .await;
    let client = gateway.client(ClientVersion::V2026_07_28);
    let list = || {
        client
            .request("1", "tools/list", "", "")
            .with("host", "anything.example")
    };
    assert_eq!(client.send(&list()).await.status(), 200);
    assert_eq!(
        client
            .send(&list().with("origin", "https://anything.example"))
            .await
            .status(),
        403
    );
}
