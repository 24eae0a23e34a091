//! Streams on which nothing comes are kept awake by comments, in both eras.

use std::time::Duration;

use portolan_gateway::{GatewayConfig, Upstream};
use tokio::{sync::mpsc, time::timeout};

use crate::support::{
    DEADLINE,
    client::{Client, Speaks},
    raw::Incoming,
    script::{Act, Script, answer as answer_to, legacy, modern},
    teller::Teller,
    world::Site,
};

const EVERY: Duration = Duration::from_millis(50);

/// A server of either era that says one thing about a call, and then no more until it is told to answer.
async fn silent(is_modern: bool) -> (Script, mpsc::UnboundedSender<()>) {
    let (answer, answers) = mpsc::unbounded_channel::<()>();
    let answers = std::sync::Arc::new(tokio::sync::Mutex::new(answers));
    let script = Script::start(move |asked| {
        if let Some(act) = if is_modern { modern(asked) } else { legacy(asked) } {
            return act;
        }
        if asked.method() != "tools/call" {
            return match asked.verb.as_str() {
                "GET" => Act::Answer(405, "text/plain", String::new()),
                _ => answer_to(asked, "{}"),
            };
        }
        let (pieces, stream) = mpsc::unbounded_channel();
        let (id, answers) = (asked.id(), answers.clone());
        tokio::spawn(async move {
            let told = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"emergency","data":1}}"#;
            let _ = pieces.send(format!("data: {told}\n\n"));
            let answered = answers.lock().await.recv().await;
            let result = r#"{"resultType":"complete","content":[]}"#;
            if answered.is_some() {
                let _ = pieces.send(format!(
                    "data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}\n\n"
                ));
            }
        });
        Act::Stream(stream)
    })
    .await;
    (script, answer)
}

async fn site(url: String, keep_alive: Duration) -> Site {
    let mut config = GatewayConfig::default();
    config.timeouts.keep_alive = keep_alive;
    Site::with([("up", Upstream::http(url))], |builder| builder.config(config)).await
}

/// Reads until there were so many comments.
async fn comments(incoming: &mut Incoming, count: usize) {
    let mut text = Vec::new();
    while text.windows(4).filter(|bytes| bytes == b"\n:\n\n").count() < count {
        let piece = timeout(DEADLINE, incoming.piece()).await.expect("a comment");
        text.extend(piece.expect("no break").expect("no end"));
    }
}

#[tokio::test]
async fn silent_call_gets_comments() {
    for is_modern in [false, true] {
        let (script, answer) = silent(is_modern).await;
        let site = site(script.url(), EVERY).await;
        for speaks in Speaks::ALL {
            let client = Client::connect(site.address, speaks).await;
            let post = client.call_with("1", "up__t", "{}", r#""io.modelcontextprotocol/logLevel":"debug""#);
            let mut incoming = client.begin(&post).await;
            assert_eq!(incoming.head.get("content-type"), Some("text/event-stream"));
            comments(&mut incoming, 3).await;
            answer.send(()).expect("a server");
            let messages = incoming.messages().await.expect("whole");
            assert!(
                messages.last().expect("an answer").contains("\"content\":[]"),
                "{messages:?}"
            );
        }
    }
}

#[tokio::test]
async fn session_streams_get_comments() {
    let teller = Teller::start(true).await;
    let site = site(teller.url(), EVERY).await;
    for speaks in Speaks::ALL {
        let client = Client::connect(site.address, speaks).await;
        let mut stream = match speaks {
            Speaks::Modern => client.listen("1", r#""toolsListChanged":true"#).await.0,
            _ => client.stream().await,
        };
        comments(&mut stream, 3).await;
        teller.tools_changed();
        assert_eq!(stream.json().await["method"], "notifications/tools/list_changed");
    }
}

#[tokio::test]
async fn zero_interval_disables_comments() {
    let (script, _answer) = silent(false).await;
    let site = site(script.url(), Duration::ZERO).await;
    let teller = Teller::start(true).await;
    let listened = self::site(teller.url(), Duration::ZERO).await;
    for speaks in Speaks::ONE_OF_EACH {
        let client = Client::connect(site.address, speaks).await;
        let post = client.call_with("1", "up__t", "{}", r#""io.modelcontextprotocol/logLevel":"debug""#);
        let mut incoming = client.begin(&post).await;
        incoming.event().await.expect("no break").expect("what was logged");
        assert!(timeout(4 * EVERY, incoming.piece()).await.is_err());
        let client = Client::connect(listened.address, speaks).await;
        let mut stream = match speaks {
            Speaks::Modern => client.listen("1", "").await.0,
            _ => client.stream().await,
        };
        if !speaks.is_modern() {
            stream.piece().await.expect("no break").expect("its beginning");
        }
        assert!(timeout(4 * EVERY, stream.piece()).await.is_err());
    }
}
