//! Changes that the owner of a server's channel hears.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Exchange, ExchangeEvent, ResourceNaming, Result, RpcResponse,
    ServerHandshake,
};
use portolan_gateway::Upstream;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::support::{client::ClientVersion, eventually, gateway::TestGateway};

/// A channel whose server says what the test wants.
#[derive(Debug)]
struct TestChannel {
    modern: bool,
    notifications: broadcast::Sender<ChannelNotification>,
    params_of: Mutex<Vec<(String, Value)>>,
    listens: Mutex<Vec<mpsc::Sender<ExchangeEvent>>>,
    generation: Mutex<u64>,
    tools: Mutex<Vec<&'static str>>,
}

impl TestChannel {
    fn new(modern: bool) -> Arc<Self> {
        Arc::new(Self {
            modern,
            notifications: broadcast::Sender::new(16),
            params_of: Mutex::default(),
            listens: Mutex::default(),
            generation: Mutex::default(),
            tools: Mutex::default(),
        })
    }

    fn params_of(&self, method: &str) -> Vec<Value> {
        let params_of = self.params_of.lock().expect("no panic");
        params_of
            .iter()
            .filter(|(known, _)| known == method)
            .map(|(_, params)| params.clone())
            .collect()
    }

    /// Says something: in the last listen, where it is modern.
    async fn notify(&self, method: &str, params: Value) {
        let notification = ChannelNotification::new(method, Some(params.to_string().into()));
        let listen = self.listens.lock().expect("no panic").last().cloned();
        match listen {
            Some(listen) => listen
                .send(ExchangeEvent::Notification(notification))
                .await
                .expect("listened to"),
            None => drop(self.notifications.send(notification).expect("notifications")),
        }
    }
}

#[async_trait::async_trait]
impl Channel for TestChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        let version = if self.modern { "2026-07-28" } else { "2025-11-25" };
        let offers = br#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true}}"#;
        let mut hello = ServerHandshake::new(self.modern, version, Bytes::from_static(offers));
        hello.generation = *self.generation.lock().expect("no panic");
        Ok(hello)
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let params: Value = serde_json::from_slice(&request.params.unwrap_or_default()).unwrap_or_default();
        let method = request.method.to_string();
        self.params_of
            .lock()
            .expect("no panic")
            .push((method.clone(), params.clone()));
        let (events, comes) = mpsc::channel(16);
        if method == "subscriptions/listen" {
            let ack = json!({"notifications": params["notifications"], "_meta": {"io.modelcontextprotocol/subscriptionId": 5}});
            let ack =
                ChannelNotification::new("notifications/subscriptions/acknowledged", Some(ack.to_string().into()));
            events.send(ExchangeEvent::Notification(ack)).await.expect("open");
            self.listens.lock().expect("no panic").push(events);
        } else {
            let result = match &*method {
                "tools/list" => {
                    let definition = |name: &&str| json!({"name": name, "inputSchema": {"type": "object"}});
                    let tools: Vec<_> = self.tools.lock().expect("no panic").iter().map(definition).collect();
                    json!({ "tools": tools }).to_string()
                }
                "resources/read" => json!({"contents": [{"uri": params["uri"], "text": ""}]}).to_string(),
                _ => "{}".into(),
            };
            let answer = RpcResponse::Result(Bytes::from(result));
            events.send(ExchangeEvent::Response(Ok(answer))).await.expect("open");
        }
        Ok(Exchange::new(comes, ()))
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.notifications.subscribe()
    }
}

#[tokio::test]
async fn notifications_reach_both_eras() {
    for modern in [false, true] {
        let channel = TestChannel::new(modern);
        let gateway = TestGateway::builder()
            .upstream("up", Upstream::channel(channel.clone()))
            .start()
            .await;
        let new = gateway.connect(ClientVersion::V2026_07_28).await;
        let old = gateway.connect(ClientVersion::V2025_11_25).await;
        let (mut listen, first) = new
            .listen(
                "\"n\"",
                r#""promptsListChanged":true,"resourceSubscriptions":["file:///a"]"#,
            )
            .await;
        assert_eq!(
            first["params"]["notifications"]["resourceSubscriptions"],
            json!(["file:///a"])
        );
        let mut stream = old.stream().await;
        assert_eq!(
            old.call_method("resources/subscribe", r#""uri":"file:///b""#)
                .await
                .code(),
            0
        );
        channel.notify("notifications/prompts/list_changed", json!({})).await;
        assert_eq!(listen.json().await["method"], "notifications/prompts/list_changed");
        assert_eq!(stream.json().await["method"], "notifications/prompts/list_changed");
        for uri in ["file:///b", "file:///a"] {
            let params = json!({"uri": uri, "_meta": {"io.modelcontextprotocol/subscriptionId": 5, "odd": 1}});
            channel.notify("notifications/resources/updated", params).await;
        }
        let told = listen.json().await;
        let about = json!({"io.modelcontextprotocol/subscriptionId": "n", "odd": 1});
        assert_eq!(told["params"], json!({"uri": "file:///a", "_meta": about}));
        assert_eq!(
            stream.json().await["params"],
            json!({"uri": "file:///b", "_meta": {"odd": 1}})
        );
        if !modern {
            assert_eq!(channel.params_of("resources/subscribe").len(), 2);
            drop(listen);
            eventually("it is unsubscribed", || {
                channel.params_of("resources/unsubscribe") == [json!({"uri": "file:///a"})]
            })
            .await;
        }
    }
}

#[tokio::test]
async fn resource_uris_are_prefixed() {
    for modern in [false, true] {
        let channel = TestChannel::new(modern);
        let upstreams = [("up", Upstream::channel(channel.clone()))];
        let gateway = TestGateway::builder()
            .upstreams(upstreams)
            .settings(|builder| builder.resource_naming(ResourceNaming::Prefix))
            .start()
            .await;
        for version in ClientVersion::EACH_ERA {
            let client = gateway.connect(version).await;
            let read = client
                .call_method("resources/read", r#""uri":"mcp+up+file:///a""#)
                .await
                .json();
            assert_eq!(read["result"]["contents"][0]["uri"], "mcp+up+file:///a", "{read}");
        }
        let params_of = channel.params_of("resources/read");
        assert!(params_of.len() == 2 && params_of.iter().all(|params| params["uri"] == "file:///a"));
        let client = gateway.connect(ClientVersion::V2026_07_28).await;
        let (mut listen, first) = client
            .listen("1", r#""resourceSubscriptions":["mcp+up+file:///a"]"#)
            .await;
        let accepted = json!({"resourceSubscriptions": ["mcp+up+file:///a"]});
        assert_eq!(first["params"]["notifications"], accepted);
        channel
            .notify("notifications/resources/updated", json!({"uri": "file:///a"}))
            .await;
        assert_eq!(listen.json().await["params"]["uri"], "mcp+up+file:///a");
    }
}

#[tokio::test]
async fn restarted_server_is_resubscribed() {
    let channel = TestChannel::new(false);
    let gateway = TestGateway::builder()
        .upstream("up", Upstream::channel(channel.clone()))
        .start()
        .await;
    let client = gateway.connect(ClientVersion::V2026_07_28).await;
    let (_listen, _) = client.listen("1", r#""resourceSubscriptions":["file:///a"]"#).await;
    assert_eq!(channel.params_of("resources/subscribe").len(), 1);
    *channel.generation.lock().expect("no panic") += 1;
    eventually("it is subscribed again", || {
        channel.params_of("resources/subscribe").len() == 2
    })
    .await;
}

#[tokio::test]
async fn list_is_renewed_without_listeners() {
    for version in ClientVersion::EACH_ERA {
        let channel = TestChannel::new(false);
        let gateway = TestGateway::builder()
            .upstream("up", Upstream::channel(channel.clone()))
            .start()
            .await;
        let client = gateway.connect(version).await;
        assert_eq!(client.tools().await, [""; 0]);
        *channel.tools.lock().expect("no panic") = vec!["t"];
        channel.notify("notifications/tools/list_changed", json!({})).await;
        assert_eq!(client.tools().await, ["up__t"]);
        assert_eq!(client.tools().await, ["up__t"]);
        assert_eq!(channel.params_of("tools/list").len(), 2);
        *channel.tools.lock().expect("no panic") = vec!["t", "u"];
        *channel.generation.lock().expect("no panic") += 1;
        assert_eq!(client.tools().await, ["up__t", "up__u"], "after a restart");
    }
}
