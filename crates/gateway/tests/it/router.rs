//! The gateway mounted in an axum application.

use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;

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
