//! Cases of [`Bus`].

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::timeout;

use crate::Bus;

/// The bus under test.
pub type Backend = Arc<dyn Bus>;

/// Every subscriber gets a message, once.
pub async fn every_subscriber_gets_message_once(bus: Backend) {
    let (mut one, mut two) = (subscribe(&bus, "t").await, subscribe(&bus, "t").await);
    publish(&bus, "t", "hello").await;
    for reader in [&mut one, &mut two] {
        assert_eq!(next(reader).await, "hello");
        assert_silent(reader).await;
    }
}

/// A message reaches no subscriber of another topic.
pub async fn topics_are_apart(bus: Backend) {
    let (mut one, mut two) = (subscribe(&bus, "one").await, subscribe(&bus, "two").await);
    publish(&bus, "one", "1").await;
    publish(&bus, "two", "2").await;
    assert_eq!(next(&mut one).await, "1");
    assert_eq!(next(&mut two).await, "2");
    assert_silent(&mut one).await;
    assert_silent(&mut two).await;
}

/// A subscription does not get messages that were published before it.
pub async fn earlier_messages_are_not_seen(bus: Backend) {
    publish(&bus, "t", "before").await;
    // On a bus between machines, what was published may still be under way.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut reader = subscribe(&bus, "t").await;
    publish(&bus, "t", "after").await;
    assert_eq!(next(&mut reader).await, "after");
}

/// Messages of one publisher arrive in the order of publishing.
pub async fn messages_keep_their_order(bus: Backend) {
    let mut reader = subscribe(&bus, "t").await;
    for number in 0..100 {
        publish(&bus, "t", &number.to_string()).await;
    }
    for number in 0..100 {
        assert_eq!(next(&mut reader).await, number.to_string());
    }
}

/// A message may hold any bytes.
pub async fn any_bytes_are_carried(bus: Backend) {
    let mut reader = subscribe(&bus, "t").await;
    for message in [
        Bytes::new(),
        Bytes::from_static(b"\0\xff'\n"),
        Bytes::from(vec![0xa5; 4_000]),
    ] {
        bus.publish("t", message.clone()).await.expect("publish");
        let heard = timeout(Duration::from_secs(10), reader.next()).await.expect("in time");
        assert!(heard == Some(message), "the message changed");
    }
}

/// Publishing without subscribers succeeds.
pub async fn publish_without_readers_succeeds(bus: Backend) {
    publish(&bus, "nobody", "hello").await;
}

/// `publish` does not wait for a subscriber that never reads.
pub async fn publish_does_not_wait_for_readers(bus: Backend) {
    let _never_read = subscribe(&bus, "t").await;
    for number in 0..5_000 {
        publish(&bus, "t", &number.to_string()).await;
    }
}

/// A dropped subscription does not disturb the others.
pub async fn dropped_subscriber_hinders_nobody(bus: Backend) {
    drop(subscribe(&bus, "t").await);
    let mut reader = subscribe(&bus, "t").await;
    publish(&bus, "t", "hello").await;
    assert_eq!(next(&mut reader).await, "hello");
}

async fn subscribe(bus: &Backend, topic: &str) -> BoxStream<'static, Bytes> {
    bus.subscribe(topic).await.expect("subscribe")
}

async fn publish(bus: &Backend, topic: &str, text: &str) {
    bus.publish(topic, Bytes::copy_from_slice(text.as_bytes()))
        .await
        .expect("publish");
}

async fn next(reader: &mut BoxStream<'static, Bytes>) -> String {
    let message = timeout(Duration::from_secs(10), reader.next())
        .await
        .expect("a message within 10 s");
    String::from_utf8_lossy(&message.expect("the subscription goes on")).into_owned()
}

async fn assert_silent(reader: &mut BoxStream<'static, Bytes>) {
    let heard = timeout(Duration::from_millis(200), reader.next()).await;
    assert!(heard.is_err(), "nothing was published, but {heard:?} was heard");
}
