//! Looks after streams and sessions in the background.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use http::StatusCode;
use tokio::{runtime::Handle, time::Instant};

use super::{End, Subscriber};
use crate::{auth, service::Inner};

/// How often.
const TICK: Duration = Duration::from_secs(5);

impl Inner {
    /// Begins to look after streams and sessions, unless that has begun, for as long as this gateway is there.
    pub(crate) fn keep(self: &Arc<Self>) {
        if self.streams.kept.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.streams.kept.swap(true, Ordering::AcqRel) {
            return;
        }
        let ended = self.connector.ended.clone();
        let keeping = keep(Arc::downgrade(self));
        runtime.spawn(async move {
            tokio::select! {
                () = keeping => {}
                () = ended.cancelled() => {}
            }
        });
        self.hear_replicas(&runtime);
    }

    async fn look(self: &Arc<Self>, recheck: bool) {
        self.sessions.forget_unused();
        self.replay_store.forget_old();
        let grace = self.config.timeouts.listen_grace;
        for subscriber in self.streams.all() {
            if !subscriber.is_wanted(grace) {
                subscriber.detach().await;
            } else if subscriber.is_dirty()
                && let Some(gateway) = self.table.get(subscriber.gateway.as_str())
            {
                self.attach(&subscriber, &gateway, Duration::ZERO).await;
            }
            if recheck && subscriber.queue.has_reader() && !self.may_stay(&subscriber).await {
                tracing::info!(gateway = %subscriber.gateway, "a stream is ended, because its caller may not come in any more");
                subscriber.queue.end(End::Abrupt);
            }
        }
    }

    /// Whether who opened a stream could open it now.
    async fn may_stay(&self, subscriber: &Subscriber) -> bool {
        let Some(head) = subscriber.head() else { return true };
        match auth::authenticate(&self.authenticators, &subscriber.gateway, &head).await {
            Ok(caller) => caller.subject == subscriber.caller.subject && caller.teams == subscriber.caller.teams,
            // That an authenticator does not answer says nothing about the caller.
            Err(refused) => refused.status() == StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Subscriber {
    /// Whether anybody reads, or has asked to be told later.
    fn is_wanted(&self, grace: Duration) -> bool {
        self.queue.is_read(grace) || !self.filter().uris.is_empty()
    }
}

async fn keep(inner: Weak<Inner>) {
    let mut rechecked = Instant::now();
    loop {
        let every = match inner.upgrade() {
            Some(inner) => inner.config.timeouts.recheck,
            None => return,
        };
        tokio::time::sleep(TICK.min(every)).await;
        let Some(inner) = inner.upgrade() else { return };
        let recheck = rechecked.elapsed() >= every;
        if recheck {
            rechecked = Instant::now();
        }
        inner.look(recheck).await;
    }
}
