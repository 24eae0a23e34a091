//! Sessions of legacy clients.
//!
//! A session id is a sealed token, so any replica can serve it without asking. What a replica remembers beside it (the
//! upstream sessions that belong to it, its calls under way) may be forgotten at any time and made anew. What it has
//! subscribed to, and that it has ended, is kept in the store under `session/<nonce>`.

mod active;
mod calls;
mod id;
mod sessions;
mod state;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
};

use portolan_core::{Caller, Channel, GatewayName, ServerName};
use portolan_wire::{era::ProtocolVersion, id::RequestId, level::LogLevel};

use self::id::NONCE_LEN;
pub(crate) use self::{calls::CallHandle, id::bind, sessions::Sessions, state::State};
use crate::{
    cancellation::Cancellation,
    server_requests::ClientCapabilities,
    subscriptions::{Opening, Subscriber},
    tasks::SessionTasks,
    upstream::{OpenSession, UpstreamSession},
};

/// One session, as this replica knows it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The version that was agreed on.
    pub(crate) version: ProtocolVersion,
    /// What the client can be asked.
    pub(crate) capabilities: ClientCapabilities,
    nonce: [u8; NONCE_LEN],
    bound_to: [u8; 16],
    /// Who was found to be the one that it is bound to.
    found: OnceLock<(GatewayName, Arc<Caller>)>,
    ends: i64,
    used: AtomicI64,
    /// When it was last made sure that no replica has ended it.
    checked: AtomicI64,
    upstream: Mutex<HashMap<ServerName, Arc<UpstreamSession>>>,
    /// Channels that keep something for this conversation.
    channels: Mutex<Vec<Weak<dyn Channel>>>,
    calls: Mutex<HashMap<RequestId, Cancellation>>,
    /// The number of the level from which on it is told what is logged; 0 if it has not said.
    level: AtomicU8,
    /// What it has subscribed to.
    uris: Mutex<BTreeSet<Arc<str>>>,
    /// The tasks that its calls have become.
    pub(crate) session_tasks: Arc<SessionTasks>,
    /// Who tells it what happens outside of its calls, once it wants to know.
    subscriber: OnceLock<Arc<Subscriber>>,
}

impl Session {
    /// The session at `server` that belongs to this one; made anew where there is none that `fits`.
    pub(crate) fn upstream(
        &self,
        server: &ServerName,
        fits: impl FnOnce(&UpstreamSession) -> bool,
        make: impl FnOnce() -> Arc<UpstreamSession>,
    ) -> Arc<UpstreamSession> {
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = upstream.get(server)
            && fits(session)
        {
            return session.clone();
        }
        let session = make();
        upstream.insert(server.clone(), session.clone());
        session
    }

    /// Notes a channel that keeps something for this session, until it is told that the session is over.
    pub(crate) fn converses(&self, channel: &Arc<dyn Channel>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = Arc::downgrade(channel);
        if !channels.iter().any(|known| known.ptr_eq(&channel)) {
            channels.retain(|known| known.strong_count() > 0);
            channels.push(channel);
        }
    }

    /// Who tells this session what happens outside of its calls, made if there is none.
    pub(crate) fn subscriber(&self, make: impl FnOnce() -> Arc<Subscriber>) -> Arc<Subscriber> {
        self.subscriber.get_or_init(make).clone()
    }

    /// The same, if there is one.
    pub(crate) fn known_listener(&self) -> Option<&Arc<Subscriber>> {
        self.subscriber.get()
    }

    /// The level from which on it is told what is logged, if it has said one.
    pub(crate) fn level(&self) -> Option<LogLevel> {
        LogLevel::from_number(self.level.load(Ordering::Relaxed))
    }

    /// What it has subscribed to.
    pub(crate) fn subscriptions(&self) -> BTreeSet<Arc<str>> {
        self.uris.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its sessions at servers.
    pub(crate) fn upstreams(&self) -> Vec<Arc<UpstreamSession>> {
        let upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        upstream.values().cloned().collect()
    }

    /// Hears what its servers tell it alone, where they are open already.
    pub(crate) fn follow_asides(&self, subscriber: &Subscriber) {
        for upstream in self.upstreams() {
            drop(upstream.follow(subscriber));
        }
    }

    /// Notes that a session at a server is open, so that it is heard what the server tells this session alone. The first
    /// time there may be something to wait for.
    pub(crate) fn opened(&self, upstream: &UpstreamSession, open: &OpenSession) -> Option<Opening> {
        let subscriber = self.subscriber.get()?;
        if open.followed.load(Ordering::Relaxed) {
            return None;
        }
        upstream.follow(subscriber)
    }

    fn close(&self) -> Vec<Arc<UpstreamSession>> {
        if let Some(subscriber) = self.known_listener() {
            subscriber.close();
        }
        self.calls().values().for_each(Cancellation::cancel);
        let channels = std::mem::take(&mut *self.channels.lock().unwrap_or_else(PoisonError::into_inner));
        let conversation = self.conversation();
        for channel in channels.iter().filter_map(Weak::upgrade) {
            channel.end(&conversation);
        }
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        upstream.drain().map(|(_, session)| session).collect()
    }
}
