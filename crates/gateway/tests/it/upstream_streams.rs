//! What else servers send on their event streams.

use serde_json::json;

use crate::support::{
    client::{Client, ClientVersion},
    gateway::TestGateway,
    raw::ResponseStream,
    servers::{Reply, Request, ScriptedServer, common, notifying::NotifyingServer, scripted},
};

/// Events that are no messages, before and after which messages come.
const NO_MESSAGES: [&str; 6] = [
    "event: ping\ndata: ping\n\n",
    "event:ping\ndata:\ndata: 2026-11-29 10:00:00\n\n",
    "data: ping\nevent: ping\n\n",
    "event: heartbeat\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n",
    "event: endpoint\nid: 1\ndata: /messages?session=1\n\n",
    "event: ping\r\ndata: {\r\n\r\n",
];

/// A server of which each response is an event stream with something before and after it.
async fn streaming(is_modern: bool, around: String) -> ScriptedServer {
    scripted(
        move |request| match (whole(is_modern, request), request.verb.as_str()) {
            (_, "GET") => Reply::status(405),
            (Reply::Whole { status: 200, body, .. }, _) => {
                let stream = format!("{around}event: message\ndata: {body}\n\n{around}");
                Reply::new(200, "text/event-stream", stream)
            }
            (reply, _) => reply,
        },
    )
    .await
}

fn whole(is_modern: bool, request: &Request) -> Reply {
    let hints = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;
    common(is_modern, request).unwrap_or_else(|| match request.method() {
        "tools/call" => {
            let text = request.argument("text");
            let result = format!(r#"{{"resultType":"complete","content":[{{"type":"text","text":{text}}}]}}"#);
            Reply::result(request, result)
        }
        "prompts/list" => Reply::result(request, format!(r#"{{"prompts":[{{"name":"p"}}],{hints}}}"#)),
        _ => Reply::error(request, -32601, "none").with_status(404),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_events_are_no_messages() {
    for is_modern in [false, true] {
        for around in NO_MESSAGES {
            let upstream = streaming(is_modern, around.to_owned()).await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            for version in ClientVersion::ALL {
                let client = gateway.connect(version).await;
                assert_eq!(client.tools().await, ["up__t"], "{is_modern} {version:?} {around:?}");
                // The second is too large to be converted as a whole.
                for text in ["small".to_owned(), "large ".repeat(50_000)] {
                    let said = client.text("up__t", json!({ "text": text })).await;
                    assert!(said == text, "{is_modern} {version:?} {around:?}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn named_events_pass_notifications_by() {
    for is_modern in [false, true] {
        for version in ClientVersion::EACH_ERA {
            let upstream = NotifyingServer::start(is_modern).await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            let client = gateway.connect(version).await;
            let mut events = listen(&client).await;
            upstream.wait_for_stream().await;
            for event in NO_MESSAGES {
                upstream.send_raw(event);
            }
            upstream.tools_changed();
            assert_eq!(events.json().await["method"], "notifications/tools/list_changed");
        }
    }
}

/// Opens the stream on which a client is told of changed tools, and of this one resource.
async fn listen(client: &Client) -> ResponseStream {
    if client.version.is_modern() {
        let filter = r#""toolsListChanged":true,"resourceSubscriptions":["file:///a"]"#;
        return client.listen("1", filter).await.0;
    }
    let stream = client.stream().await;
    let subscribed = client.call_method("resources/subscribe", r#""uri":"file:///a""#).await;
    assert_eq!(subscribed.json()["result"], json!({}));
    stream
}

const TOOLS_CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
const UPDATED: &str = r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a"}}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_during_a_call_renews_the_list() {
    for is_modern in [false, true] {
        for version in ClientVersion::ALL {
            let upstream = NotifyingServer::start(is_modern).await;
            upstream.refuse_streams();
            let gateway = TestGateway::with_server(upstream.url()).await;
            let client = gateway.connect(version).await;
            assert_eq!(client.tools().await, ["up__t"]);
            upstream.set_said(&[&format!("data: {TOOLS_CHANGED}\n\n")]);
            upstream.set_tools(&["t", "u"]);
            assert_eq!(client.text("up__t", json!({})).await, "done");
            assert_eq!(client.tools().await, ["up__t", "up__u"], "{is_modern} {version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_during_a_call_is_told() {
    for is_modern in [false, true] {
        for version in ClientVersion::EACH_ERA {
            let upstream = NotifyingServer::start(is_modern).await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            let client = gateway.connect(version).await;
            let mut events = listen(&client).await;
            upstream.wait_for_stream().await;
            upstream.set_said(&[&format!("data: {TOOLS_CHANGED}\n\n"), &format!("data: {UPDATED}\n\n")]);
            assert_eq!(client.text("up__t", json!({})).await, "done");
            let told = events.json().await;
            assert_eq!(
                told["method"], "notifications/tools/list_changed",
                "{is_modern} {version:?}"
            );
            let told = events.json().await;
            assert_eq!(
                told["method"], "notifications/resources/updated",
                "{is_modern} {version:?}"
            );
            assert_eq!(told["params"]["uri"], "file:///a");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batched_messages_are_taken() {
    for (content_type, frame) in [
        ("text/event-stream", ["data: ", "\n\n"]),
        ("application/json", ["", ""]),
    ] {
        for first_is_response in [false, true] {
            let upstream = scripted(move |request| {
                let token = &request.params()["_meta"]["progressToken"];
                let progress = format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":1}}}}"#
                );
                let told = if request.method() == "tools/call" && !token.is_null() { &*progress } else { TOOLS_CHANGED };
                match whole(false, request) {
                    _ if request.verb == "GET" => Reply::status(405),
                    Reply::Whole { status: 200, body, .. } => {
                        let [one, other] = if first_is_response { [&*body, told] } else { [told, &*body] };
                        let batch = format!("{}[{one},{other}]{}", frame[0], frame[1]);
                        Reply::new(200, content_type, batch)
                    }
                    reply => reply,
                }
            })
            .await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            for version in ClientVersion::ALL {
                let what = format!("{content_type} {first_is_response} {version:?}");
                let client = gateway.connect(version).await;
                assert_eq!(client.tools().await, ["up__t"], "{what}");
                let post = client.call_with("7", "up__t", r#"{"text":"x"}"#, r#""progressToken":"p""#);
                let messages = client.begin(&post).await.messages().await.expect("a whole answer");
                assert_eq!(messages.len(), 2, "{what} {messages:?}");
                assert!(messages[0].contains(r#""progressToken":"p""#), "{what} {messages:?}");
                assert!(
                    messages[1].contains(r#""id":7"#) && messages[1].contains(r#""text":"x""#),
                    "{what}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batch_during_a_call_renews_the_list() {
    let upstream = NotifyingServer::start(false).await;
    upstream.refuse_streams();
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    assert_eq!(client.tools().await, ["up__t"]);
    upstream.set_said(&[&format!("data: [{UPDATED},{TOOLS_CHANGED}]\n\n")]);
    upstream.set_tools(&["t", "u"]);
    assert_eq!(client.text("up__t", json!({})).await, "done");
    assert_eq!(client.tools().await, ["up__t", "up__u"]);
}

/// Compresses a text as a server does that flushes after each piece.
fn gzipped(pieces: &[&str]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    for piece in pieces {
        encoder.write_all(piece.as_bytes()).expect("memory");
        encoder.flush().expect("memory");
    }
    encoder.finish().expect("memory")
}

/// A server that compresses all that it says.
async fn compressing(is_modern: bool, encoding: &'static str, is_stream: bool) -> ScriptedServer {
    scripted(move |request| match whole(is_modern, request) {
        _ if request.verb == "GET" => Reply::status(405),
        Reply::Whole { status: 200, body, .. } => {
            let (content_type, body) = match is_stream {
                true => ("text/event-stream", gzipped(&[": begun\n\n", &format!("data: {body}\n\n")])),
                false => ("application/json", gzipped(&[&body])),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nconnection: close\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            Reply::Raw([head.as_bytes(), &body].concat())
        }
        reply => reply,
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_responses_are_read() {
    for is_modern in [false, true] {
        for (encoding, is_stream) in [("gzip", false), ("gzip", true), ("X-GZIP", false)] {
            let upstream = compressing(is_modern, encoding, is_stream).await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            for version in ClientVersion::EACH_ERA {
                let client = gateway.connect(version).await;
                assert_eq!(client.tools().await, ["up__t"], "{is_modern} {encoding} {is_stream}");
                for text in ["small".to_owned(), "large ".repeat(50_000)] {
                    let said = client.text("up__t", json!({ "text": text })).await;
                    assert!(said == text, "{is_modern} {encoding} {is_stream}");
                }
            }
            let asked = |request: &Request| request.header("accept-encoding") == Some("identity");
            assert!(upstream.requests().iter().all(asked));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compression_is_bounded() {
    let upstream = scripted(|request| {
        common(false, request).unwrap_or_else(|| {
            let (bomb, encoding) = match request.argument("kind").as_str() {
                Some("bomb") => (gzipped(&[&"0".repeat(200 << 20)]), "gzip"),
                Some("cut") => (gzipped(&["{}"])[..12].to_vec(), "gzip"),
                Some("other") => (b"{}".to_vec(), "br"),
                _ => (b"no gzip".to_vec(), "gzip"),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
                bomb.len()
            );
            Reply::Raw([head.as_bytes(), &bomb].concat())
        })
    })
    .await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    for version in ClientVersion::EACH_ERA {
        let client = gateway.connect(version).await;
        for kind in ["bomb", "cut", "other", "none"] {
            let answer = client.tool("up__t", json!({ "kind": kind })).await;
            assert_eq!(answer["result"]["isError"], true, "{kind} {answer}");
        }
    }
}
