//! Requests of servers behind a channel, whose owner is the test.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use portolan_core::{
    CallHandle, Channel, ChannelNotification, ChannelRequest, Exchange, ExchangeEvent, Result, RpcResponse,
    ServerHandshake, ServerRequest,
};
use portolan_gateway::Upstream;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::support::{client::ClientVersion, eventually, gateway::TestGateway};

const ELICITATION: &str = r#"{"elicitation":{}}"#;

/// A legacy server that asks once in each call.
#[derive(Debug, Default)]
struct AskingChannel {
    requester_keys: Mutex<Vec<Option<Arc<str>>>>,
    open: Arc<AtomicUsize>,
}

/// A call of it, until it is answered or given up.
struct AwaitedResponse {
    answered: mpsc::Sender<(u64, RpcResponse)>,
    open: Arc<AtomicUsize>,
}

impl CallHandle for AwaitedResponse {
    fn respond(&self, key: u64, answer: RpcResponse) {
        let _ = self.answered.try_send((key, answer));
    }
}

impl Drop for AwaitedResponse {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Channel for AskingChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        Ok(ServerHandshake::new(
            false,
            "2025-11-25",
            Bytes::from_static(br#"{"tools":{}}"#),
        ))
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let (events, receiver) = mpsc::channel(4);
        let (answered, mut answers) = mpsc::channel(4);
        self.open.fetch_add(1, Ordering::Relaxed);
        let exchange = Exchange::new(
            receiver,
            AwaitedResponse {
                answered,
                open: self.open.clone(),
            },
        );
        let done = |result: Value| ExchangeEvent::Response(Ok(RpcResponse::Result(result.to_string().into())));
        if &*request.method == "tools/list" {
            let tools = json!({"tools": [{"name": "ask", "inputSchema": {"type": "object"}}]});
            events.try_send(done(tools)).expect("room");
            return Ok(exchange);
        }
        self.requester_keys
            .lock()
            .expect("no panic")
            .push(request.requester_key);
        tokio::spawn(async move {
            let params = json!({"message": "who?", "requestedSchema": {"type": "object", "properties": {}}});
            let question = ServerRequest::new(7, "elicitation/create", Some(params.to_string().into()));
            let _ = events.send(ExchangeEvent::ServerRequest(question)).await;
            let Some((key, answer)) = answers.recv().await else {
                return;
            };
            assert_eq!(key, 7);
            let (RpcResponse::Result(raw) | RpcResponse::Error(raw)) = answer;
            let text = String::from_utf8_lossy(&raw).into_owned();
            let _ = events
                .send(done(json!({"content": [{"type": "text", "text": text}]})))
                .await;
        });
        Ok(exchange)
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        broadcast::channel(1).1
    }
}

#[tokio::test]
async fn legacy_client_responds() {
    let channel = Arc::new(AskingChannel::default());
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(channel.clone()))
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2025_11_25, ELICITATION).await;
    let mut incoming = client.begin(&client.call("1", "up__ask", "{}")).await;
    let question: Value =
        serde_json::from_str(&incoming.event().await.expect("whole").expect("a question")).expect("JSON");
    assert_eq!(question["params"]["message"], "who?");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "decline"}});
    for _ in 0..2 {
        assert_eq!(client.send(&client.post(answer.to_string())).await.status(), 202);
    }
    let end: Value = serde_json::from_str(&incoming.event().await.expect("whole").expect("an answer")).expect("JSON");
    assert_eq!(end["result"]["content"][0]["text"], r#"{"action":"decline"}"#);
    eventually("nothing waits", || {
        channel.open.load(Ordering::Relaxed) == 0 && gateway.server_request_count() == 0
    })
    .await;
}

#[tokio::test]
async fn modern_client_call_is_suspended() {
    let channel = Arc::new(AskingChannel::default());
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(channel.clone()))
        .start()
        .await;
    let client = gateway.connect_with(ClientVersion::V2026_07_28, ELICITATION).await;
    let asked = client.tool("up__ask", json!({})).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    assert_eq!(gateway.server_request_count(), 1);
    let params = format!(
        r#""name":"up__ask","arguments":{{}},"inputResponses":{{"q1":{{"action":"cancel"}}}},"requestState":{}"#,
        asked["result"]["requestState"]
    );
    let messages = client
        .begin(&client.request("2", "tools/call", &params, ""))
        .await
        .messages()
        .await;
    let end: Value = serde_json::from_str(&messages.expect("whole")[0]).expect("JSON");
    assert_eq!(
        (&end["id"], &end["result"]["content"][0]["text"]),
        (&json!(2), &json!(r#"{"action":"cancel"}"#))
    );
    eventually("nothing waits", || {
        channel.open.load(Ordering::Relaxed) == 0 && gateway.server_request_count() == 0
    })
    .await;
}

#[tokio::test]
async fn requester_keys_separate_conversations() {
    let channel = Arc::new(AskingChannel::default());
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(channel.clone()))
        .start()
        .await;
    let mut clients = Vec::new();
    for version in [
        ClientVersion::V2025_11_25,
        ClientVersion::V2025_11_25,
        ClientVersion::V2026_07_28,
        ClientVersion::V2026_07_28,
    ] {
        clients.push(gateway.connect_with(version, ELICITATION).await);
    }
    let mut bob = gateway.client(ClientVersion::V2026_07_28).token("bob-token");
    bob.capabilities = ELICITATION.into();
    clients.push(bob);
    clients.push(gateway.connect(ClientVersion::V2025_11_25).await);
    for client in &clients {
        let begun = client.send_only(&client.call("1", "up__ask", "{}")).await;
        let before = clients
            .iter()
            .position(|other| std::ptr::eq(other, client))
            .expect("one of them");
        eventually("it arrives", || {
            channel.requester_keys.lock().expect("no panic").len() > before
        })
        .await;
        drop(begun);
    }
    let requester_keys = channel.requester_keys.lock().expect("no panic").clone();
    assert_ne!(requester_keys[0], requester_keys[1], "sessions are conversations");
    assert_eq!(
        requester_keys[2], requester_keys[3],
        "modern clients have none but their caller's"
    );
    assert_ne!(requester_keys[2], requester_keys[4]);
    assert!(requester_keys[..5].iter().all(Option::is_some));
    assert_eq!(requester_keys[5], None);
}
