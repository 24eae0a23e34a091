//! Which headers of a client reach a server.

use portolan_gateway::Upstream;
use serde_json::{Value, json};

use super::published;
use crate::support::{
    client::{Client, ClientVersion, HttpRequest},
    gateway::TestGateway,
    upstreams::{Eras, http},
};

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
