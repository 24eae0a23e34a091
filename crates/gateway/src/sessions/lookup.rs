//! The sessions of all gateways: opens, finds, ends and evicts them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use portolan_client::ClientCapabilities;
use portolan_core::{Caller, Clock, Error, GatewayName, Precondition, Result, SessionStore};
use portolan_wire::{era::ProtocolVersion, id::RequestId};
use tokio_util::task::TaskTracker;

use super::{
    Session,
    active::ActiveSessions,
    id::{NONCE_LEN, bind},
};
use crate::{
    config::GatewayConfig,
    events::{self, SessionEnd},
    replay::ReplayStore,
    seal::{Purpose, TokenKeys},
};

/// The interval at which a replica checks the store for an end of a session in its memory, in seconds.
const CHECKED_EVERY: i64 = 5;
/// The interval at which expired entries are removed from the store, in seconds.
const SWEPT_EVERY: i64 = 600;

/// The sessions of legacy clients.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: Arc<TokenKeys>,
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    idle: i64,
    total: i64,
    limit: usize,
    live: Mutex<ActiveSessions>,
    /// When the store was last swept, in seconds.
    swept: AtomicI64,
    /// Closes upstream sessions.
    background: TaskTracker,
    /// Holds the replay streams of sessions.
    replay_store: Arc<ReplayStore>,
}

impl Sessions {
    pub(crate) fn new(
        config: &GatewayConfig,
        keys: Arc<TokenKeys>,
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        background: TaskTracker,
        replay_store: Arc<ReplayStore>,
    ) -> Self {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX / 4);
        Self {
            keys,
            store,
            clock,
            idle: seconds(config.timeouts.session_idle),
            total: seconds(config.timeouts.session_total),
            limit: config.limits.sessions.max(1),
            live: Mutex::default(),
            swept: AtomicI64::default(),
            background,
            replay_store,
        }
    }

    /// Opens a session and returns its id.
    pub(crate) fn open(
        &self,
        gateway: &GatewayName,
        caller: &Caller,
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        client: Option<Arc<str>>,
        extensions: Option<Bytes>,
    ) -> Result<String> {
        let now = self.clock.now().as_second();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Error::backend("the random number generator", "give random bytes", "it failed"))?;
        let expires = now.saturating_add(self.total);
        let bound_to = bind(gateway, caller);
        let mut session = Session::new(version, capabilities, nonce, bound_to, expires, now, extensions);
        session.client = client;
        events::session_opened(gateway, &session.name(), version, session.client.as_deref());
        let id = self.keys.seal(Purpose::Session, &session.payload())?;
        self.remember(&id, Arc::new(session), now);
        Ok(id)
    }

    /// Returns the session `id`, if it belongs to this caller on this gateway and has not ended.
    pub(crate) async fn find(
        &self,
        id: &str,
        gateway: &GatewayName,
        caller: &Arc<Caller>,
    ) -> Result<Option<Arc<Session>>> {
        let now = self.clock.now();
        let cached = self.lock().by_id.get(id).cloned();
        let session = match cached {
            Some(session) => session,
            None => match self.restore(id, now).await? {
                Some(session) => session,
                None => return Ok(None),
            },
        };
        if session.expires <= now.as_second() || !session.belongs_to(gateway, caller) {
            return Ok(None);
        }
        session.used.store(now.as_second(), Ordering::Relaxed);
        if now.as_second() - session.checked.load(Ordering::Relaxed) >= CHECKED_EVERY {
            session.checked.store(now.as_second(), Ordering::Relaxed);
            match self.store.get(&session.key(), now).await {
                Ok(None) => {}
                Ok(Some(stored)) => {
                    if !session.apply(&stored.value) {
                        self.forget(&session, SessionEnd::Elsewhere);
                        return Ok(None);
                    }
                }
                Err(error) => tracing::warn!(%error, "the session store is unavailable; a session continues unchecked"),
            }
        }
        Ok(Some(session))
    }

    /// Ends a session and its upstream sessions: here at once, on other replicas within seconds.
    pub(crate) async fn end(&self, session: &Arc<Session>) -> Result<()> {
        let now = self.clock.now();
        let expires = Timestamp::from_second(session.expires).unwrap_or(Timestamp::MAX);
        self.store
            .put(&session.key(), Bytes::new(), expires, now, Precondition::None)
            .await?;
        self.forget(session, SessionEnd::Deleted);
        let swept = self.swept.load(Ordering::Relaxed);
        if now.as_second() - swept >= SWEPT_EVERY {
            self.swept.store(now.as_second(), Ordering::Relaxed);
            if let Err(error) = self.store.sweep(now).await {
                tracing::warn!(%error, "expired entries cannot be removed from the session store");
            }
        }
        Ok(())
    }

    /// Removes a session from memory and closes it.
    pub(crate) fn forget(&self, session: &Arc<Session>, end: SessionEnd) {
        let mut live = self.lock();
        let cached = live.ids.get(&session.nonce).cloned();
        if let Some(id) = cached {
            live.by_id.remove(&id);
            live.ids.remove(&session.nonce);
        }
        live.shrink();
        drop(live);
        self.close_all(vec![session.clone()], end);
    }

    /// Removes idle and expired sessions from memory.
    pub(crate) fn forget_unused(&self) {
        let now = self.clock.now().as_second();
        let removed = self.lock().sweep(now, self.idle, self.limit);
        self.close_all(removed, SessionEnd::Forgotten);
    }

    /// Closes sessions removed from memory: cancels their calls, drops their replay streams, and closes their upstream
    /// sessions.
    fn close_all(&self, sessions: Vec<Arc<Session>>, end: SessionEnd) {
        for session in sessions {
            events::session_ended(&session.name(), end);
            self.replay_store.forget(session.nonce());
            let upstream = session.close();
            if upstream.is_empty() {
                continue;
            }
            self.background.spawn(async move {
                session.quiet().await;
                join_all(upstream.iter().map(|session| session.close())).await;
            });
        }
    }

    /// Cancels a call in flight on this replica; returns whether there was one. Its replay stream is no longer kept.
    pub(crate) fn cancel(&self, session: &Session, id: &RequestId) -> bool {
        self.replay_store.discard(session.nonce(), id);
        session.cancel(id)
    }

    /// Returns the tracker for work that outlives a request.
    pub(super) fn background(&self) -> &TaskTracker {
        &self.background
    }

    /// Returns the number of sessions in memory.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Restores a session that another replica opened, or that was evicted here.
    async fn restore(&self, id: &str, now: Timestamp) -> Result<Option<Arc<Session>>> {
        let Some(session) = self
            .keys
            .open(Purpose::Session, id)
            .and_then(|payload| Session::read(&payload, now))
        else {
            return Ok(None);
        };
        if let Some(stored) = self.store.get(&session.key(), now).await?
            && !session.apply(&stored.value)
        {
            return Ok(None);
        }
        let session = Arc::new(session);
        Ok(Some(self.remember(id, session, now.as_second())))
    }

    fn remember(&self, id: &str, session: Arc<Session>, now: i64) -> Arc<Session> {
        let mut live = self.lock();
        let session = match live.by_id.get(id) {
            Some(known) => known.clone(),
            None => {
                let id: Arc<str> = id.into();
                live.ids.insert(session.nonce, id.clone());
                live.by_id.insert(id, session.clone());
                session
            }
        };
        let removed = if live.by_id.len() > self.limit || now - live.swept >= 10 {
            live.sweep(now, self.idle, self.limit)
        } else {
            Vec::new()
        };
        drop(live);
        self.close_all(removed, SessionEnd::Forgotten);
        session
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ActiveSessions> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
