//! Notifications of a server reach a sink.

use std::{sync::Arc, time::Duration};

use portolan_client::{
    ClientConfig, ClientTimeouts, UpstreamServer,
    notifications::{ListKind, Listening, NotificationFilter, NotificationSink, ServerNotification},
};
use portolan_fixtures::everything::Eras;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::support::{DEADLINE, TestChannel, eventually, everything, in_time, none, server_at, server_with};

#[derive(Debug)]
struct Sink(mpsc::UnboundedSender<ServerNotification>);

impl NotificationSink for Sink {
    fn tell(&self, change: &ServerNotification) {
        let _ = self.0.send(change.clone());
    }
}

/// Listens for changes of the list of tools, until the result is dropped.
async fn listen(server: &Arc<UpstreamServer>) -> (Listening, mpsc::UnboundedReceiver<ServerNotification>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let filter = NotificationFilter::default().with_list(ListKind::Tools);
    let listening = server.notifications(&none()).listen(filter, Arc::new(Sink(sender)));
    let granted = listening.granted(DEADLINE).await.expect("an agreement");
    assert!(granted.live);
    (listening, receiver)
}

fn is_tools(change: &ServerNotification) -> bool {
    matches!(change, ServerNotification::List(ListKind::Tools))
}

#[tokio::test]
async fn http_notifications_reach_the_sink() {
    for eras in [Eras::Legacy, Eras::Modern] {
        let upstream = everything(eras).await;
        let server = server_at(&upstream.url());
        let (_listening, mut changes) = listen(&server).await;
        let changed = server.call_tool("test_trigger_tool_change", Value::Null, &none()).await;
        assert!(!changed.expect("a result").is_error());
        let change = in_time("a change", changes.recv()).await.expect("a change");
        assert!(is_tools(&change), "{change:?}");
    }
}

#[tokio::test]
async fn channel_notifications_reach_the_sink() {
    for modern in [false, true] {
        let channel = TestChannel::new(modern);
        let (_listening, mut changes) = listen(&channel.server()).await;
        channel.change_tools().await;
        let change = in_time("a change", changes.recv()).await.expect("a change");
        assert!(is_tools(&change), "{change:?}");
    }
}

#[tokio::test]
async fn feed_ends_after_the_last_listener() {
    let mut timeouts = ClientTimeouts::default();
    timeouts.listen_grace = Duration::from_millis(10);
    let upstream = everything(Eras::Modern).await;
    let server = server_with(&upstream.url(), ClientConfig::default().with_timeouts(timeouts));
    let (listening, _changes) = listen(&server).await;
    assert_eq!(upstream.listeners(), 1);
    drop(listening);
    eventually("the end of the listen", || upstream.listeners() == 0).await;
}

#[tokio::test]
async fn closed_client_ends_its_feeds() {
    let upstream = everything(Eras::Modern).await;
    let client = portolan_client::Client::new(ClientConfig::default());
    let server = UpstreamServer::at_url(&client, upstream.url()).expect("a URL");
    let (_listening, _changes) = listen(&server).await;
    in_time("the end of the client", client.closed()).await;
    eventually("the end of the listen", || upstream.listeners() == 0).await;
}
