//! The gateways of a platform in an application of the host.

use axum::Router;
use portolan::{Owner, Platform, Secret, Selection};
use serde_json::json;

use crate::support::{Place, ask, listen};

async fn platform(place: &Place) -> (Platform, Secret) {
    let platform = place.platform().await;
    let gateway = platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("a gateway");
    let token = platform
        .rotate_token(&gateway, Owner::Org, "test")
        .await
        .expect("a token");
    (platform, token)
}

async fn answers_only_at(app: Router, token: &Secret, found: &str, missing: &[&str]) {
    let (url, serving) = listen(app, std::future::pending()).await;
    let status = async |path: &str| ask(&format!("{url}{path}"), token, "tools/list", json!({})).await.0;
    assert_eq!(status(found).await, 200, "{found}");
    for path in missing {
        assert_eq!(status(path).await, 404, "{path} beside {found}");
    }
    serving.abort();
}

#[tokio::test]
async fn nested_service_answers_once() {
    let place = Place::new();
    let (platform, token) = platform(&place).await;
    let app = Router::new().nest_service("/mcp", platform.gateway_service());
    answers_only_at(app, &token, "/mcp/default", &["/mcp/mcp/default", "/default"]).await;
    let app = Router::new().nest_service("/api/tools", platform.gateway_service());
    answers_only_at(
        app,
        &token,
        "/api/tools/default",
        &["/api/tools/mcp/default", "/mcp/default"],
    )
    .await;
}

#[tokio::test]
async fn router_answers_once() {
    let place = Place::new();
    let (platform, token) = platform(&place).await;
    answers_only_at(
        platform.router(),
        &token,
        "/mcp/default",
        &["/mcp/mcp/default", "/default"],
    )
    .await;
}

#[tokio::test]
async fn service_can_be_put_at_a_path() {
    let place = Place::new();
    let (platform, token) = platform(&place).await;
    let app = Router::new().fallback_service(platform.gateway_service().at_path("/mcp"));
    answers_only_at(app, &token, "/mcp/default", &["/mcp/mcp/default", "/default"]).await;
}
