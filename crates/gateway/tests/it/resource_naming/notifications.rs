//! Changes of resources whose URIs name their server.

use std::time::Duration;

use portolan_core::{GatewaySpec, Publication, ResourceNaming, ServerRequestPolicy};
use serde_json::json;

use super::named;
use crate::support::{
    client::ClientVersion,
    eventually,
    gateway::{TestGateway, gateway_name, routes},
    servers::notifying::NotifyingServer,
};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn listen_uses_prefixed_uris() {
    for modern in [false, true] {
        let (a, b) = (
            NotifyingServer::start(modern).await,
            NotifyingServer::start(!modern).await,
        );
        let gateway = named(&a.url(), &b.url(), |builder| builder).await;
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        client.tools().await;
        let filter = r#""toolsListChanged":true,"resourceSubscriptions":["mcp+a+file:///a","mcp+b+file:///a","ui://b/x","file:///a","mcp+c+file:///a","mcp+a+file:///unknown"]"#;
        let (mut stream, first) = client.listen("7", filter).await;
        let accepted = ["mcp+a+file:///a", "mcp+b+file:///a", "ui://b/x"];
        assert_eq!(
            first["params"]["notifications"]["resourceSubscriptions"],
            json!(accepted)
        );
        for (server, own, uri) in [
            (&a, "file:///a", accepted[0]),
            (&b, "file:///a", accepted[1]),
            (&b, "ui://x", accepted[2]),
        ] {
            eventually("told", || server.resource_updated(own) > 0).await;
            let event = stream.json().await;
            assert_eq!(event["method"], "notifications/resources/updated");
            let expected = json!({"uri": uri, "_meta": {"io.modelcontextprotocol/subscriptionId": 7}});
            assert_eq!(event["params"], expected);
        }
        a.tools_changed();
        assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
        a.resource_updated("ui://x");
        assert!(stream.is_silent(SHORT).await, "it is another server's");
    }
}

#[tokio::test]
async fn session_subscribes_by_prefixed_uri() {
    for modern in [false, true] {
        for version in [ClientVersion::V2025_06_18, ClientVersion::V2025_11_25] {
            let (a, b) = (
                NotifyingServer::start(modern).await,
                NotifyingServer::start(!modern).await,
            );
            let gateway = named(&a.url(), &b.url(), |builder| builder).await;
            let client = gateway.connect(version).await;
            client.tools().await;
            let mut stream = client.stream().await;
            a.wait_for_stream().await;
            b.wait_for_stream().await;
            let uri = r#""uri":"mcp+b+file:///a""#;
            assert_eq!(
                client.call_method("resources/subscribe", uri).await.json()["result"],
                json!({})
            );
            assert_eq!((a.subscribed(), b.subscribed()), (vec![], vec!["file:///a".to_owned()]));
            a.resource_updated("file:///a");
            eventually("told", || b.resource_updated("file:///a") > 0).await;
            assert_eq!(stream.json().await["params"], json!({"uri": "mcp+b+file:///a"}));
            for unknown in ["mcp+b+file:///unknown", "mcp+c+file:///a", "file:///a"] {
                let refused = client
                    .call_method("resources/subscribe", &format!(r#""uri":"{unknown}""#))
                    .await;
                assert_eq!(refused.code(), -32002, "{unknown}");
                assert_eq!(refused.json()["error"]["data"]["uri"], unknown);
            }
            assert_eq!(
                client.call_method("resources/unsubscribe", uri).await.json()["result"],
                json!({})
            );
            // What is the longest for its server is not too long for its name besides.
            let longest = format!(r#""uri":"mcp+a+{}""#, "x".repeat(2048));
            assert_eq!(
                client.call_method("resources/subscribe", &longest).await.json()["result"],
                json!({})
            );
            let longer = format!(r#""uri":"mcp+a+{}""#, "x".repeat(2049));
            assert_eq!(client.call_method("resources/subscribe", &longer).await.code(), -32602);
        }
    }
}

#[tokio::test]
async fn naming_change_applies_to_notifications() {
    let server = NotifyingServer::start(true).await;
    let gateway = TestGateway::builder().unpublished().start().await;
    let routes = routes(&[("a", &server.url())], ServerRequestPolicy::default());
    let publish = async |uris| {
        let mut spec = GatewaySpec::new(gateway_name("default"));
        spec.resource_naming = uris;
        let publication = Publication::new(spec, routes.clone());
        gateway.publish_whole(publication).await;
    };
    publish(ResourceNaming::Plain).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    client.tools().await;
    let mut stream = client.stream().await;
    let subscribe = async |uri: &str| {
        let answer = client
            .call_method("resources/subscribe", &format!(r#""uri":"{uri}""#))
            .await;
        assert_eq!(answer.json()["result"], json!({}), "{uri}");
    };
    subscribe("file:///a").await;
    eventually("told", || server.resource_updated("file:///a") > 0).await;
    assert_eq!(stream.json().await["params"]["uri"], "file:///a");
    publish(ResourceNaming::Prefix).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(stream.json().await["method"].clone());
    }
    assert!(
        told.iter()
            .all(|method| method.as_str().is_some_and(|method| method.ends_with("list_changed")))
    );
    subscribe("mcp+a+file:///a").await;
    eventually("told", || server.resource_updated("file:///a") > 0).await;
    assert_eq!(stream.json().await["params"]["uri"], "mcp+a+file:///a");
}
