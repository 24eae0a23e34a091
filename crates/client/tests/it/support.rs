//! Clients, credentials and servers for the tests.

use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_client::{Client, ClientConfig, UpstreamServer};
use portolan_core::{
    Channel, ChannelNotification, ChannelRequest, Endpoint, Exchange, ExchangeEvent, Result, RpcResponse, Secret,
    ServerHandshake, ServerSpec, UpstreamCredential,
};
use portolan_fixtures::everything::{Eras, Everything, Options};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

/// How long a test waits for what has to come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn none() -> Arc<UpstreamCredential> {
    Arc::new(UpstreamCredential::none())
}

pub(crate) fn bearer(token: &str) -> UpstreamCredential {
    UpstreamCredential::none().with_header(http::header::AUTHORIZATION, Secret::new(format!("Bearer {token}")))
}

pub(crate) fn server_at(url: &str) -> Arc<UpstreamServer> {
    server_with(url, ClientConfig::default())
}

pub(crate) fn server_with(url: &str, config: ClientConfig) -> Arc<UpstreamServer> {
    UpstreamServer::at_url(&Client::new(config), url).expect("a URL")
}

/// Starts the everything server for these eras.
pub(crate) async fn everything(eras: Eras) -> Everything {
    let options = Options {
        eras,
        ..Options::default()
    };
    Everything::start(options).await.expect("a port")
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(what, waiting).await;
}

/// Waits for `work`, within the deadline of the tests.
pub(crate) async fn in_time<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, work).await;
    done.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// A channel to a server with one tool, `echo`, and a list of tools that changes when it is told to.
#[derive(Debug)]
pub(crate) struct TestChannel {
    modern: bool,
    notifications: broadcast::Sender<ChannelNotification>,
    /// Modern: the streams of open listens.
    listens: std::sync::Mutex<Vec<mpsc::Sender<ExchangeEvent>>>,
}

impl TestChannel {
    pub(crate) fn new(modern: bool) -> Arc<Self> {
        Arc::new(Self {
            modern,
            notifications: broadcast::Sender::new(16),
            listens: std::sync::Mutex::default(),
        })
    }

    /// Returns a server behind this channel.
    pub(crate) fn server(self: &Arc<Self>) -> Arc<UpstreamServer> {
        let spec = ServerSpec::command("piped", "piped-server", [""; 0]).expect("a server");
        let client = Client::new(ClientConfig::default());
        let endpoint = Endpoint::Channel(self.clone());
        Arc::new(UpstreamServer::at_endpoint(&client, Arc::new(spec), endpoint).expect("a known endpoint"))
    }

    /// Says that the list of tools has changed: in the latest listen of a modern server, else beside the calls.
    pub(crate) async fn change_tools(&self) {
        let changed = ChannelNotification::new("notifications/tools/list_changed", None);
        let listen = self.listens.lock().expect("no panic").last().cloned();
        match listen {
            Some(listen) => listen.send(ExchangeEvent::Notification(changed)).await.expect("open"),
            None => drop(self.notifications.send(changed)),
        }
    }
}

#[async_trait::async_trait]
impl Channel for TestChannel {
    async fn handshake(&self) -> Result<ServerHandshake> {
        let version = if self.modern { "2026-07-28" } else { "2025-11-25" };
        let capabilities = Bytes::from_static(br#"{"tools":{"listChanged":true}}"#);
        let mut handshake = ServerHandshake::new(self.modern, version, capabilities);
        handshake.server_info = Some(Bytes::from_static(br#"{"name":"piped","version":"3"}"#));
        Ok(handshake)
    }

    async fn call(&self, request: ChannelRequest) -> Result<Exchange> {
        let params: Value = serde_json::from_slice(&request.params.unwrap_or_default()).unwrap_or_default();
        let (events, receiver) = mpsc::channel(16);
        let result = match &*request.method {
            "tools/list" => json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] }),
            "tools/call" => json!({ "content": [{ "type": "text", "text": params["arguments"]["text"] }] }),
            "subscriptions/listen" => {
                let params = json!({ "notifications": params["notifications"] }).to_string();
                let agreed = ChannelNotification::new("notifications/subscriptions/acknowledged", Some(params.into()));
                events.send(ExchangeEvent::Notification(agreed)).await.expect("open");
                self.listens.lock().expect("no panic").push(events);
                return Ok(Exchange::new(receiver, ()));
            }
            _ => json!({}),
        };
        let response = RpcResponse::Result(result.to_string().into());
        events.send(ExchangeEvent::Response(Ok(response))).await.expect("open");
        Ok(Exchange::new(receiver, ()))
    }

    fn notifications(&self) -> broadcast::Receiver<ChannelNotification> {
        self.notifications.subscribe()
    }
}
