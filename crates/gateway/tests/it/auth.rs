//! Authentication of clients.

mod forwarding;
mod origins;
mod refusals;
mod revocation;

use std::{sync::Arc, time::Duration};

use portolan_core::{
    Clock, GatewaySpec, HttpEndpoint, Install, InstallName, Owner, Publication, Route, ServerSpec, Subject,
    SystemClock, memory::ManualClock,
};
use portolan_gateway::{McpGateway, StaticTokens};

use crate::support::{
    client::ClientVersion,
    gateway::{TestGateway, gateway_name, grant, user},
    raw::HttpResponse,
    upstreams::{Eras, HttpFixture, http},
};

async fn start() -> (HttpFixture, TestGateway) {
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
    let (upstream, gateway) = start().await;
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
    let (_upstream, gateway) = start().await;
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
