//! Streams on which nothing comes are kept awake by comments, in both eras.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use crate::support::{
    DEADLINE,
    client::{Client, ClientVersion},
    gateway::TestGateway,
    raw::ResponseStream,
    servers::notifying::NotifyingServer,
    servers::streaming::{StreamedCall, StreamingServer},
};

const EVERY: Duration = Duration::from_millis(50);

/// A call that the client has begun, and as the server has it: logged to, and not answered.
async fn silent_call(server: &StreamingServer, client: &Client) -> (ResponseStream, StreamedCall) {
    let number = server.calls();
    let post = client.call_with("1", "up__t", "{}", r#""io.modelcontextprotocol/logLevel":"debug""#);
    let begun = client.send_only(&post).await;
    let call = server.call(number).await;
    let params = json!({"level": "emergency", "data": 1});
    call.send(&json!({"jsonrpc": "2.0", "method": "notifications/message", "params": params}));
    (begun.incoming().await, call)
}

async fn gateway(url: String, keep_alive: Duration) -> TestGateway {
    TestGateway::builder()
        .server("up", url)
        .config(|config| config.timeouts.keep_alive = keep_alive)
        .start()
        .await
}

/// Reads until there were so many comments.
async fn comments(incoming: &mut ResponseStream, count: usize) {
    let mut text = Vec::new();
    while text.windows(4).filter(|bytes| bytes == b"\n:\n\n").count() < count {
        let piece = timeout(DEADLINE, incoming.piece()).await.expect("a comment");
        text.extend(piece.expect("no break").expect("no end"));
    }
}

#[tokio::test]
async fn silent_call_gets_comments() {
    for is_modern in [false, true] {
        let server = StreamingServer::start(is_modern).await;
        let gateway = gateway(server.url(), EVERY).await;
        for version in ClientVersion::ALL {
            let client = gateway.connect(version).await;
            let (mut incoming, call) = silent_call(&server, &client).await;
            assert_eq!(incoming.head.get("content-type"), Some("text/event-stream"));
            comments(&mut incoming, 3).await;
            call.respond("done");
            let messages = incoming.messages().await.expect("whole");
            assert!(messages.last().expect("an answer").contains("done"), "{messages:?}");
        }
    }
}

#[tokio::test]
async fn session_streams_get_comments() {
    let server = NotifyingServer::start(true).await;
    let gateway = gateway(server.url(), EVERY).await;
    for version in ClientVersion::ALL {
        let client = gateway.connect(version).await;
        let mut stream = match version {
            ClientVersion::V2026_07_28 => client.listen("1", r#""toolsListChanged":true"#).await.0,
            _ => client.stream().await,
        };
        comments(&mut stream, 3).await;
        server.tools_changed();
        assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn zero_interval_disables_comments() {
    let streaming = StreamingServer::start(false).await;
    let gateway = gateway(streaming.url(), Duration::ZERO).await;
    let server = NotifyingServer::start(true).await;
    let listened = self::gateway(server.url(), Duration::ZERO).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        let (mut incoming, _call) = silent_call(&streaming, &client).await;
        incoming.event().await.expect("no break").expect("what was logged");
        assert!(timeout(4 * EVERY, incoming.piece()).await.is_err());
        let client = listened.connect(version).await;
        let mut stream = match version {
            ClientVersion::V2026_07_28 => client.listen("1", "").await.0,
            _ => client.stream().await,
        };
        if !version.is_modern() {
            stream.piece().await.expect("no break").expect("its beginning");
        }
        assert!(timeout(4 * EVERY, stream.piece()).await.is_err());
    }
}
