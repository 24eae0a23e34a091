//! The gateway mounted in an axum application.

use std::net::SocketAddr;

use axum::Router;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    upstreams::{Eras, http},
};

#[tokio::test]
async fn axum_router_serves_gateway() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().server("up", upstream.url()).build();
    let app: Router = Router::new()
        .route("/health", axum::routing::get(async || "well"))
        .merge(gateway.into_router());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(
        axum::serve(listener, app)
            .with_graceful_shutdown(async { drop(ended.await) })
            .into_future(),
    );
    for version in ClientVersion::ALL {
        let client = Client::connect(address, version).await;
        assert_eq!(client.text("up__echo", json!({"text": "routed"})).await, "routed");
    }
    let client = Client::new(address, ClientVersion::V2026_07_28);
    let health = client.send(&client.post("").verb("GET").path("/health")).await;
    assert_eq!(health.text(), "well");
    assert_eq!(client.send(&client.post("{}").path("/elsewhere")).await.status(), 404);
    // The end is orderly: what is under way is answered first.
    let call = client.send_only(&client.call("1", "up__sleep", r#"{"ms":50}"#)).await;
    crate::support::eventually("under way", || upstream.requests_of("tools/call").len() == 5).await;
    end.send(()).expect("it listens");
    let messages = call.incoming().await.messages().await.expect("a whole answer");
    assert!(messages[0].contains("slept 50 ms"));
    serving.await.expect("no panic").expect("an orderly end");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn serve_shuts_down_gracefully() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().server("up", upstream.url()).build();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(portolan_gateway::serve(listener, gateway, async { drop(ended.await) }));
    let client = Client::new(address, ClientVersion::V2026_07_28);
    let call = client.send_only(&client.call("1", "up__sleep", r#"{"ms":50}"#)).await;
    crate::support::eventually("under way", || upstream.requests_of("tools/call").len() == 1).await;
    end.send(()).expect("it listens");
    let messages = call.incoming().await.messages().await.expect("a whole answer");
    assert!(messages[0].contains("slept 50 ms"));
    serving.await.expect("no panic").expect("an orderly end");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

/// Serves an application until the test ends.
async fn listen(serving: &mut JoinSet<()>, app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    serving.spawn(async move { axum::serve(listener, app).await.expect("it serves") });
    address
}

/// Calls the gateway at `found`, and finds it at none of `missing`.
async fn answers_only_at(address: SocketAddr, found: &str, missing: &[&str]) {
    for version in ClientVersion::EACH_ERA {
        let mut client = Client::new(address, version);
        client.path = found.into();
        client.handshake().await;
        assert_eq!(client.text("up__echo", json!({"text": found})).await, found);
        for path in missing {
            let answer = client.send(&client.call("1", "up__echo", "{}").path(path)).await;
            assert_eq!(answer.status(), 404, "{path} beside {found}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn nested_gateway_answers_once() {
    let mut serving = JoinSet::new();
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder().server("up", upstream.url()).build();
    let nested = Router::new().nest_service("/mcp", gateway.at_path(""));
    let address = listen(&mut serving, nested).await;
    answers_only_at(address, "/mcp/default", &["/mcp/mcp/default", "/default", "/mcp"]).await;
    let deeper = Router::new().nest_service("/api/tools", gateway.at_path("/v1"));
    let address = listen(&mut serving, deeper).await;
    answers_only_at(
        address,
        "/api/tools/v1/default",
        &["/api/tools/default", "/api/tools/mcp/default", "/mcp/default"],
    )
    .await;
    // A clone elsewhere leaves the gateway where it is.
    let address = listen(&mut serving, gateway.into_router()).await;
    answers_only_at(address, "/mcp/default", &["/mcp/mcp/default", "/default"]).await;
}

#[tokio::test]
async fn configured_path_is_the_only_one() {
    let mut serving = JoinSet::new();
    let upstream = http(Eras::Both).await;
    for (path, found, missing) in [
        ("", "/default", ["/mcp/default", "/x/default"]),
        ("/api/mcp", "/api/mcp/default", ["/mcp/default", "/default"]),
        ("/api/", "/api/default", ["/mcp/default", "/default"]),
    ] {
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| config.path = path.into())
            .build();
        let address = listen(&mut serving, Router::new().fallback_service(gateway.clone())).await;
        answers_only_at(address, found, &missing).await;
        let address = listen(&mut serving, gateway.into_router()).await;
        answers_only_at(address, found, &missing).await;
    }
}
