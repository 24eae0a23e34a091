//! The ids of requests: servers get the gateway's own, and clients get theirs back as they wrote them.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    client::{Client, ClientVersion},
    eventually,
    gateway::TestGateway,
    servers::{Reply, Request, ScriptedServer, common, scripted, streaming::StreamingServer},
};

/// Spellings that most JSON libraries do not keep.
const ODD: [&str; 6] = [r#""\u2713""#, "1.0", "1e2", r#""a\/b""#, "12.50", r#""\"\\""#];

/// A server that decodes and encodes the ids of its requests.
async fn recoding(is_modern: bool, content_type: &'static str) -> ScriptedServer {
    scripted(move |request| {
        common(is_modern, request).unwrap_or_else(|| match request.method() {
            "tools/call" => {
                let id = recoded(request);
                let text = request.argument("text");
                let result = format!(r#"{{"content":[{{"type":"text","text":{text}}}],"resultType":"complete"}}"#);
                let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                match content_type {
                    "text/event-stream" => Reply::new(200, content_type, format!("data: {message}\n\n")),
                    _ => Reply::new(200, content_type, message),
                }
            }
            _ => Reply::status(405),
        })
    })
    .await
}

/// An id as a library writes it that has one type of number and no escapes but the necessary ones.
fn recoded(request: &Request) -> String {
    match request.body["id"].as_f64() {
        Some(number) => number.to_string(),
        None => request.id(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_gets_its_own_spelling() {
    for is_modern in [false, true] {
        for content_type in ["application/json", "text/event-stream"] {
            let upstream = recoding(is_modern, content_type).await;
            let gateway = TestGateway::with_server(upstream.url()).await;
            for version in ClientVersion::ALL {
                let client = gateway.connect(version).await;
                for id in ODD {
                    for text in ["x".to_owned(), "large ".repeat(10_000)] {
                        let arguments = json!({ "text": text }).to_string();
                        let stream = client.begin(&client.call(id, "up__t", &arguments)).await;
                        let messages = stream.messages().await.expect("a whole answer");
                        let what = format!("{is_modern} {content_type} {version:?} {id}");
                        let answer = messages.last().expect("an answer");
                        assert!(answer.contains(&format!(r#""id":{id}"#)), "{what}");
                        assert!(answer.contains(&text), "{what}");
                        assert!(!answer.contains("isError"), "{what}");
                    }
                }
            }
            let calls = upstream.requests();
            let ids = calls
                .iter()
                .filter(|request| request.method() == "tools/call")
                .map(Request::id);
            let ids: Vec<_> = ids.collect();
            assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len(), "each id once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_id_may_be_spelled_otherwise() {
    let upstream = StreamingServer::start(false).await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_11_25).await;
    for (number, (id, other)) in [("1.0", "1"), (r#""\u2713""#, "\"✓\""), ("20", "2e1")]
        .into_iter()
        .enumerate()
    {
        let _open = client.send_only(&client.call(id, "up__t", "{}")).await;
        upstream.call(number).await;
        assert_eq!(client.cancel(other).await.status(), 202);
        eventually("the call is cancelled", || upstream.cancelled() == number + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_value_is_one_id_in_a_batch() {
    let upstream = recoding(false, "application/json").await;
    let gateway = TestGateway::with_server(upstream.url()).await;
    let client = gateway.connect(ClientVersion::V2025_03_26).await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":1.0,"method":"ping"}]"#;
    let answers = client.send(&client.post(batch)).await.json();
    let errors = answers
        .as_array()
        .expect("answers")
        .iter()
        .filter(|answer| answer["error"].is_object());
    assert_eq!(errors.count(), 1, "{answers}");
}

/// The cause of a failed call.
fn cause(message: &str) -> String {
    let answer: Value = serde_json::from_str(message).expect("JSON");
    let cause = answer["result"]["_meta"]["dev.portolan/failure"]["cause"].as_str();
    cause.unwrap_or_else(|| panic!("no failure: {answer}")).to_owned()
}

/// Begins a call during which its server sends only comments and pings: so many, and then the response, or without end.
async fn call_with_comments(upstream: &StreamingServer, client: &Client, count: Option<usize>) -> String {
    let number = upstream.calls();
    let post = client.call("1", "up__t", "{}");
    let talking = async {
        let call = upstream.call(number).await;
        let mut sent = 0;
        while !call.is_closed() && count.is_none_or(|count| sent < count) {
            call.send_raw([": ping\n\n", "event: ping\ndata: 1\n\n", "data:\n\n"][sent % 3]);
            sent += 1;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        call.respond("done");
    };
    let calling = async { client.begin(&post).await.messages().await.expect("a proper end") };
    let (mut messages, ()) = tokio::join!(calling, talking);
    messages.pop().expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn comments_extend_silence_bounded() {
    for is_modern in [false, true] {
        let upstream = StreamingServer::start(is_modern).await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| {
                config.timeouts.call = Duration::from_millis(500);
                config.timeouts.call_total = Duration::from_millis(2500);
            })
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            // Together they take longer than the silence that is allowed.
            let answer = call_with_comments(&upstream, &client, Some(16)).await;
            assert!(answer.contains("done"), "{is_modern} {version:?} {answer}");
            let answer = call_with_comments(&upstream, &client, None).await;
            assert_eq!(cause(&answer), "timeout", "{is_modern} {version:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resumed_streams_extend_no_call() {
    for (version, priming) in [
        // A legacy client is told to come back where its server says when.
        (ClientVersion::V2025_11_25, "id: 1\ndata:\n\n"),
        (ClientVersion::V2026_07_28, "id: 1\nretry: 10\ndata:\n\n"),
    ] {
        let upstream = scripted(move |request| match (request.verb.as_str(), request.method()) {
            ("GET", _) if request.header("last-event-id").is_some() => Reply::new(200, "text/event-stream", priming),
            ("GET", _) => Reply::status(405),
            (_, "tools/call") => Reply::new(200, "text/event-stream", priming),
            _ => common(false, request).unwrap_or_else(|| Reply::status(404)),
        })
        .await;
        let gateway = TestGateway::builder()
            .server("up", upstream.url())
            .config(|config| config.timeouts.call = Duration::from_millis(500))
            .start()
            .await;
        let client = gateway.connect(version).await;
        let stream = client.begin(&client.call("1", "up__t", "{}")).await;
        let messages = stream.messages().await.expect("a proper end");
        let cause = cause(messages.last().expect("an answer"));
        assert!(["timeout", "connection"].contains(&&*cause), "{version:?} {cause}");
    }
}
