//! Background work: evicts sessions, renews feed subscriptions, rechecks callers, and handles notices of other
//! replicas.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{runtime::Handle, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::GatewayConfig,
    edge::Authentication,
    events::SessionEnd,
    replay::ReplayStore,
    replicas::{Notice, Replicas},
    routing::RouteTable,
    sessions::{Session, Sessions},
    subscriptions::{End, Subscriber, Subscriptions},
};

/// The interval between runs.
const TICK: Duration = Duration::from_secs(5);

/// The services that need background work.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) table: Arc<RouteTable>,
    pub(crate) authentication: Arc<Authentication>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) replay_store: Arc<ReplayStore>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) replicas: Arc<Replicas>,
    /// Cancelled when the gateway is dropped.
    pub(crate) ended: CancellationToken,
    pub(crate) started: AtomicBool,
}

impl Housekeeping {
    /// Starts the background work once, until the gateway is dropped. Does nothing outside of a runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.load(Ordering::Relaxed) {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        if self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = this.tick() => {}
                () = this.ended.cancelled() => {}
            }
        });
        let this = self.clone();
        runtime.spawn(async move {
            tokio::select! {
                () = this.replicas.receive(|notice| this.handle(notice)) => {}
                () = this.ended.cancelled() => {}
            }
        });
    }

    async fn tick(&self) {
        let every = self.config.timeouts.recheck;
        let mut rechecked = Instant::now();
        loop {
            tokio::time::sleep(TICK.min(every)).await;
            let recheck = rechecked.elapsed() >= every;
            if recheck {
                rechecked = Instant::now();
            }
            self.sessions.forget_unused();
            self.replay_store.forget_old();
            for subscriber in self.subscriptions.all() {
                self.maintain(&subscriber, recheck).await;
            }
        }
    }

    async fn maintain(&self, subscriber: &Arc<Subscriber>, recheck: bool) {
        if !subscriber.is_wanted(self.config.timeouts.listen_grace) {
            subscriber.detach().await;
        } else if subscriber.is_dirty()
            && let Some(gateway) = self.table.get(subscriber.gateway.as_str())
        {
            self.subscriptions.attach(subscriber, &gateway, Duration::ZERO).await;
        }
        if recheck && subscriber.queue.has_reader() && !self.may_stay(subscriber).await {
            tracing::info!(gateway = %subscriber.gateway, "a stream is closed: its caller is no longer admitted");
            subscriber.queue.end(End::Abrupt);
        }
    }

    /// Returns whether the caller of a stream could open it now.
    async fn may_stay(&self, subscriber: &Subscriber) -> bool {
        let Some(head) = subscriber.head() else { return true };
        self.authentication
            .may_stay(&subscriber.gateway, &head, &subscriber.caller)
            .await
    }

    async fn handle(&self, notice: Notice) {
        match notice {
            Notice::Cancel(session, id) => {
                if let Some(session) = self.sessions.by_name(&session) {
                    self.sessions.cancel(&session, &id);
                }
            }
            Notice::Ended(session) => {
                if let Some(session) = self.sessions.by_name(&session) {
                    self.sessions.forget(&session, SessionEnd::Elsewhere);
                }
            }
            Notice::State(session) => {
                if let Some(session) = self.sessions.by_name(&session) {
                    self.reread(&session).await;
                }
            }
        }
    }

    /// Applies the state that another replica stored for a session.
    async fn reread(&self, session: &Arc<Session>) {
        match self.sessions.reread(session).await {
            Ok(true) => {}
            Ok(false) => return self.sessions.forget(session, SessionEnd::Elsewhere),
            Err(error) => return tracing::warn!(%error, "the state of a session cannot be read"),
        }
        if let Some(subscriber) = self.subscriptions.known_subscriber(session)
            && subscriber.is_dirty()
            && let Some(gateway) = self.table.get(subscriber.gateway.as_str())
        {
            self.subscriptions.attach_later(&subscriber, &gateway);
        }
    }
}
