//! Large answers, small pieces, and every shape that a legal answer can have.

use portolan_core::ProtocolEra;
use portolan_fixtures::http::{MemberOrder, Reply, ResultType};
use serde_json::{Value, json};

use crate::support::{
    client::ClientVersion,
    gateway::TestGateway,
    raw::ConnectionBroken,
    upstreams::{Eras, Server, http, stdio},
};

const LARGE: usize = 16 << 20;

async fn assert_large_responses_pass(server: &Server, replies: &[Reply]) {
    let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
    for reply in replies {
        if let Server::Http(fixture) = server {
            fixture.behave(|behaviour| behaviour.reply = *reply);
        }
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let post = client.call("7", "up__big", &format!(r#"{{"bytes":{LARGE}}}"#));
            let messages = client.begin(&post).await.messages().await.expect("a whole answer");
            assert_eq!(messages.len(), 1);
            let text = &messages[0];
            let start = text.find("\"text\":\"").expect("a text") + 8;
            assert!(text.as_bytes()[start..start + LARGE].iter().all(|byte| *byte == b'x'));
            let mut rest = text[..start].to_owned();
            rest.push_str(&text[start + LARGE..]);
            let rest: Value = serde_json::from_str(&rest).expect("JSON around it");
            assert_eq!(rest["id"], 7);
            assert_eq!(rest["result"]["content"], json!([{"type": "text", "text": ""}]));
            if matches!(server, Server::Http(_)) || version.is_modern() {
                assert_eq!(
                    rest["result"].get("resultType").is_some(),
                    version.is_modern(),
                    "{rest}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_http_responses_pass_whole() {
    for eras in [Eras::Legacy, Eras::Modern] {
        assert_large_responses_pass(&Server::Http(http(eras).await), &[Reply::Json, Reply::Sse]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_stdio_responses_pass_whole() {
    for era in ["legacy", "modern"] {
        assert_large_responses_pass(&stdio(&["--era", era], ProtocolEra::Auto), &[Reply::Json]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_shape_is_equivalent() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let gateway = TestGateway::with_server(upstream.url()).await;
        let clients = [
            gateway.connect(ClientVersion::V2025_03_26).await,
            gateway.connect(ClientVersion::V2026_07_28).await,
        ];
        for reply in [Reply::Json, Reply::Sse] {
            for order in [MemberOrder::IdFirst, MemberOrder::ResultFirst] {
                for result_type in [ResultType::First, ResultType::Last, ResultType::Missing] {
                    for (pieces, anonymous) in [(None, false), (Some(1), true), (Some(7), false), (Some(1000), true)] {
                        upstream.behave(|behaviour| {
                            (behaviour.reply, behaviour.order, behaviour.result_type) = (reply, order, result_type);
                            (behaviour.pieces, behaviour.anonymous) = (pieces, anonymous);
                        });
                        let what = format!("{eras:?} {reply:?} {order:?} {result_type:?} {pieces:?}");
                        for client in &clients {
                            for bytes in [0, 5, 3000, 40_000] {
                                if bytes == 40_000 && pieces.is_some_and(|size| size < 1000) {
                                    continue;
                                }
                                let answer = client.tool("up__big", json!({"bytes": bytes})).await;
                                let text = answer["result"]["content"][0]["text"]
                                    .as_str()
                                    .unwrap_or_else(|| panic!("{what}: {answer}"));
                                assert_eq!(text.len(), bytes, "{what}");
                                let expected = client.version.is_modern().then(|| json!("complete"));
                                assert_eq!(answer["result"].get("resultType"), expected.as_ref(), "{what}");
                            }
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_response_fails() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = http(eras).await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| (config.limits.message_bytes, config.limits.held_bytes) = (1 << 20, 256 << 10))
            .start()
            .await;
        for (reply, pieces) in [
            (Reply::Json, None),
            (Reply::Json, Some(4096)),
            (Reply::Sse, None),
            (Reply::Sse, Some(4096)),
        ] {
            upstream.behave(|behaviour| (behaviour.reply, behaviour.pieces) = (reply, pieces));
            for version in ClientVersion::EACH_ERA {
                let client = gateway.connect(version).await;
                let post = client.call("1", "up__big", r#"{"bytes":2000000}"#);
                match client.begin(&post).await.messages().await {
                    // What was told in advance is refused before anything is passed on.
                    Err(ConnectionBroken) => assert!(reply == Reply::Sse || pieces.is_some()),
                    Ok(messages) => {
                        let answer: Value = serde_json::from_str(&messages[0]).expect("JSON");
                        assert_eq!(answer["result"]["isError"], true, "{eras:?} {reply:?}");
                        assert_eq!(answer["result"]["_meta"]["dev.portolan/failure"]["cause"], "protocol");
                    }
                }
                assert_eq!(client.tool("up__big", json!({"bytes": 900_000})).await["id"], 1);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_request_passes_whole() {
    for server in [
        Server::Http(http(Eras::Legacy).await),
        Server::Http(http(Eras::Modern).await),
        stdio(&[], ProtocolEra::Auto),
    ] {
        let gateway = TestGateway::builder().upstream("up", server.upstream()).start().await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let text = "y".repeat(3 << 20);
            assert!(client.text("up__echo", json!({"text": text})).await == text);
        }
    }
}
