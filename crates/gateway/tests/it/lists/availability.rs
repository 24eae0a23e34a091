//! Lists of servers that are slow, dead or changed.

use std::time::{Duration, Instant};

use portolan_core::Naming;
use portolan_fixtures::http::Fault;
use portolan_gateway::Upstream;
use serde_json::json;

use super::tool;
use crate::support::{
    client::{Client, ClientVersion},
    eventually_async,
    gateway::TestGateway,
    upstreams::{Eras, http, http_again},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_server_does_not_hide_others() {
    let (well, dying) = (http(Eras::Both).await, http(Eras::Both).await);
    let (address, url) = (dying.address(), dying.url());
    drop(dying);
    let gateway = TestGateway::builder()
        .server("well", well.url())
        .server("dead", url)
        .start()
        .await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let result = client.call_method("tools/list", "").await.json()["result"].clone();
        assert_eq!(result["tools"].as_array().map(Vec::len), Some(8));
        let reasons = result["_meta"]["dev.portolan/failure"].as_object().expect("reasons");
        assert_eq!(reasons.keys().collect::<Vec<_>>(), ["dead"]);
        assert!(
            reasons["dead"]
                .as_str()
                .is_some_and(|reason| reason.contains("dead") && !reason.contains("http://")),
            "{reasons:?}"
        );
        // A name that may be one of its tools is not called unknown.
        let answer = client.tool("dead__echo", json!({"text": "x"})).await;
        assert_eq!(
            answer["result"]["_meta"]["dev.portolan/failure"]["cause"], "connection",
            "{answer}"
        );
    }
    let _again = http_again(address, Eras::Both).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let result = client.call_method("tools/list", "").await.json()["result"].clone();
        assert_eq!(result["tools"].as_array().map(Vec::len), Some(16));
        assert!(result["_meta"].get("dev.portolan/failure").is_none());
        assert_eq!(client.text("dead__echo", json!({"text": "back"})).await, "back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_server_respects_list_deadline() {
    for method in ["tools/list", "server/discover"] {
        let (well, slow) = (http(Eras::Both).await, http(Eras::Both).await);
        slow.fault(Fault::NeverAnswer).on(method).arm();
        let upstreams = [
            ("a-slow", Upstream::http(slow.url())),
            ("well", Upstream::http(well.url())),
        ];
        let gateway = TestGateway::builder()
            .upstreams(upstreams)
            .config(|config| config.timeouts.list = Duration::from_millis(300))
            .settings(|builder| builder.naming(Naming::Plain))
            .start()
            .await;
        let clients: Vec<_> = (0..12).map(|_| gateway.client(ClientVersion::V2026_07_28)).collect();
        let since = Instant::now();
        let lists = futures_util::future::join_all(clients.iter().map(Client::tools)).await;
        assert!(lists.iter().all(|tools| tools.len() == 8));
        assert!(
            since.elapsed() < Duration::from_millis(1500),
            "{method}: {:?}",
            since.elapsed()
        );
        let since = Instant::now();
        for _ in 0..10 {
            assert_eq!(clients[0].text("echo", json!({"text": "x"})).await, "x");
        }
        assert!(
            since.elapsed() < Duration::from_millis(1500),
            "{method}: calls of others are not held up"
        );
        slow.heal();
        assert_eq!(clients[0].tools().await.len(), 8);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_tool_callable_before_listed() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.tools().await.len(), 8);
    upstream.behave(|behaviour| behaviour.extra_tools = vec![tool("fresh")]);
    // It is looked for again a few seconds after the last look at the soonest.
    let since = Instant::now();
    eventually_async("the new tool can be called", async || {
        let answer = client.tool("up__fresh", json!({})).await;
        answer.get("result").is_some()
    })
    .await;
    assert!(since.elapsed() < Duration::from_secs(10));
    assert_eq!(client.tools().await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_list_refreshes_in_background() {
    let upstream = http(Eras::Both).await;
    let gateway = TestGateway::builder()
        .server("up", upstream.url())
        .config(|config| config.timeouts.list_age = Duration::ZERO)
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    assert_eq!(client.tools().await.len(), 8);
    upstream.behave(|behaviour| behaviour.extra_tools = vec![tool("fresh")]);
    eventually_async("the new tool is listed", async || client.tools().await.len() == 9).await;
    // A refresh that fails leaves the old list.
    upstream.fault(Fault::status(500)).on("tools/list").arm();
    upstream.clear_requests();
    eventually_async("the list is fetched twice", async || {
        assert_eq!(client.tools().await.len(), 9);
        upstream.requests_of("tools/list").len() >= 2
    })
    .await;
    assert_eq!(client.tools().await.len(), 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_is_told_when_a_server_comes() {
    for eras in [Eras::Legacy, Eras::Modern] {
        for version in ClientVersion::EACH_ERA {
            let (well, dying) = (http(Eras::Both).await, http(eras).await);
            let (address, url) = (dying.address(), dying.url());
            drop(dying);
            let gateway = TestGateway::builder()
                .server("well", well.url())
                .server("dead", url)
                .start()
                .await;
            let client = gateway.connect(version).await;
            assert_eq!(client.tools().await.len(), 8, "{eras:?} {version:?}");
            let mut events = match version.is_modern() {
                true => client.listen("1", r#""toolsListChanged":true"#).await.0,
                false => client.stream().await,
            };
            let _again = http_again(address, eras).await;
            let told = events.json().await;
            assert_eq!(
                told["method"], "notifications/tools/list_changed",
                "{eras:?} {version:?}"
            );
            assert_eq!(client.tools().await.len(), 16, "{eras:?} {version:?}");
        }
    }
}
