//! What replicas of one gateway tell each other, where there is a bus.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use portolan_core::Bus;
use portolan_wire::id::RequestId;
use tokio::runtime::Handle;

use crate::{service::Inner, session::Session};

/// `<nonce of the session> ended`, or `<nonce> state` when its state has changed.
const SESSIONS: &str = "portolan/sessions";
/// `<nonce of the session> <raw id of the request>`.
const CANCEL: &str = "portolan/cancel";
/// How long to wait before a bus that has broken off is heard again.
const AGAIN: Duration = Duration::from_secs(1);

impl Inner {
    /// Another replica may have the stream of a session that has changed.
    pub(super) async fn tell_replicas_of(&self, session: &Session) {
        self.publish(SESSIONS, format!("{} state", session.name())).await;
    }

    /// A session has ended.
    pub(crate) async fn tell_replicas_of_end(&self, session: &Session) {
        self.publish(SESSIONS, format!("{} ended", session.name())).await;
    }

    /// A call that is not under way here may be so elsewhere.
    pub(crate) async fn cancel_elsewhere(&self, session: &Session, id: &RequestId) {
        self.publish(CANCEL, format!("{} {id}", session.name())).await;
    }

    async fn publish(&self, topic: &str, message: String) {
        let Some(bus) = &self.bus else { return };
        if let Err(error) = bus.publish(topic, message.into()).await {
            tracing::warn!(topic, %error, "other replicas cannot be told");
        }
    }

    /// Heeds what other replicas tell, for as long as this gateway is there.
    pub(super) fn hear_replicas(self: &Arc<Self>, runtime: &Handle) {
        let Some(bus) = &self.bus else { return };
        for topic in [SESSIONS, CANCEL] {
            let (inner, bus, ended) = (Arc::downgrade(self), bus.clone(), self.connector.ended.clone());
            runtime.spawn(async move {
                tokio::select! {
                    () = hear(inner, bus, topic) => {}
                    () = ended.cancelled() => {}
                }
            });
        }
    }

    async fn heard(self: &Arc<Self>, topic: &str, message: &Bytes) {
        let text = std::str::from_utf8(message).ok();
        let Some((name, what)) = text.and_then(|text| text.split_once(' ')) else {
            return;
        };
        let Some(session) = self.sessions.named(name) else {
            return;
        };
        match (topic, what) {
            (CANCEL, id) => {
                if let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(id.as_bytes())) {
                    self.cancel(&session, &id);
                }
            }
            (_, "ended") => self.sessions.forget(&session),
            _ => self.reread(&session).await,
        }
    }

    /// Takes over what another replica has kept of a session.
    async fn reread(self: &Arc<Self>, session: &Arc<Session>) {
        match self.sessions.reread(session).await {
            Ok(true) => {}
            Ok(false) => return self.sessions.forget(session),
            Err(error) => return tracing::warn!(%error, "the state of a session cannot be read"),
        }
        let Some(subscriber) = session.known_listener() else {
            return;
        };
        if subscriber.want(session.subscriptions(), session.level())
            && let Some(gateway) = self.table.get(subscriber.gateway.as_str())
        {
            let (inner, subscriber) = (self.clone(), subscriber.clone());
            self.connector.tasks.spawn(async move {
                inner.attach(&subscriber, &gateway, Duration::ZERO).await;
            });
        }
    }
}

async fn hear(inner: Weak<Inner>, bus: Arc<dyn Bus>, topic: &'static str) {
    loop {
        match bus.subscribe(topic).await {
            Ok(mut messages) => {
                while let Some(message) = messages.next().await {
                    let Some(inner) = inner.upgrade() else { return };
                    inner.heard(topic, &message).await;
                }
            }
            Err(error) => tracing::warn!(topic, %error, "other replicas cannot be heard"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
