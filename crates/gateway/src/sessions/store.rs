//! All sessions of a gateway: opened, found, ended, forgotten.

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
    replay::ReplayStore,
    seal::{Purpose, TokenKeys},
};

/// How often a replica makes sure that a session which it remembers was not ended on another, in seconds.
const CHECKED_EVERY: i64 = 5;
/// How often ended sessions that would be over by now are taken out of the store, in seconds.
const SWEPT_EVERY: i64 = 600;

/// The sessions of a gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: Arc<TokenKeys>,
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) clock: Arc<dyn Clock>,
    idle: i64,
    total: i64,
    most: usize,
    live: Mutex<ActiveSessions>,
    /// When the store was last swept.
    swept: AtomicI64,
    /// Where sessions at servers are ended.
    background: TaskTracker,
    /// Where their streams are kept.
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
            most: config.limits.sessions.max(1),
            live: Mutex::default(),
            swept: AtomicI64::default(),
            background,
            replay_store,
        }
    }

    /// Opens a session and gives its id.
    pub(crate) fn open(
        &self,
        gateway: &GatewayName,
        caller: &Caller,
        version: ProtocolVersion,
        capabilities: ClientCapabilities,
        client: Option<Arc<str>>,
    ) -> Result<String> {
        let now = self.clock.now().as_second();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| Error::backend("the random number generator", "give random bytes", "it failed"))?;
        let ends = now.saturating_add(self.total);
        let mut session = Session::new(version, capabilities, nonce, bind(gateway, caller), ends, now);
        session.client = client;
        let id = self.keys.seal(Purpose::Session, &session.payload())?;
        self.remember(&id, Arc::new(session), now);
        Ok(id)
    }

    /// The session under `id`, if it is this caller's, on this gateway, and has not ended.
    pub(crate) async fn find(
        &self,
        id: &str,
        gateway: &GatewayName,
        caller: &Arc<Caller>,
    ) -> Result<Option<Arc<Session>>> {
        let now = self.clock.now();
        let known = self.lock().by_id.get(id).cloned();
        let session = match known {
            Some(session) => session,
            None => match self.recall(id, now).await? {
                Some(session) => session,
                None => return Ok(None),
            },
        };
        if session.ends <= now.as_second() || !session.is_of(gateway, caller) {
            return Ok(None);
        }
        session.used.store(now.as_second(), Ordering::Relaxed);
        if now.as_second() - session.checked.load(Ordering::Relaxed) >= CHECKED_EVERY {
            session.checked.store(now.as_second(), Ordering::Relaxed);
            match self.store.get(&session.key(), now).await {
                Ok(None) => {}
                Ok(Some(kept)) => {
                    if !session.take(&kept.value) {
                        self.forget(&session);
                        return Ok(None);
                    }
                }
                Err(error) => tracing::warn!(%error, "the end of a session cannot be looked up; it goes on"),
            }
        }
        Ok(Some(session))
    }

    /// Ends a session for good: here at once, on other replicas within seconds. So is what it held upstream.
    pub(crate) async fn end(&self, session: &Arc<Session>) -> Result<()> {
        let now = self.clock.now();
        let ends = Timestamp::from_second(session.ends).unwrap_or(Timestamp::MAX);
        self.store
            .put(&session.key(), Bytes::new(), ends, now, Precondition::None)
            .await?;
        self.forget(session);
        let swept = self.swept.load(Ordering::Relaxed);
        if now.as_second() - swept >= SWEPT_EVERY {
            self.swept.store(now.as_second(), Ordering::Relaxed);
            if let Err(error) = self.store.sweep(now).await {
                tracing::warn!(%error, "ended sessions cannot be swept");
            }
        }
        Ok(())
    }

    /// Forgets a session that has ended.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        let mut live = self.lock();
        let known = live.ids.get(&session.nonce).cloned();
        if let Some(id) = known {
            live.by_id.remove(&id);
            live.ids.remove(&session.nonce);
        }
        live.shrink();
        drop(live);
        self.let_go(vec![session.clone()]);
    }

    /// Forgets the sessions that are unused or over.
    pub(crate) fn forget_unused(&self) {
        let now = self.clock.now().as_second();
        let gone = self.lock().sweep(now, self.idle, self.most);
        self.let_go(gone);
    }

    /// Cancels the calls of sessions that are remembered no longer, forgets their streams, and ends what they held upstream.
    fn let_go(&self, sessions: Vec<Arc<Session>>) {
        for session in sessions {
            self.replay_store.forget(session.nonce());
            let held = session.close();
            if held.is_empty() {
                continue;
            }
            self.background.spawn(async move {
                session.quiet().await;
                join_all(held.iter().map(|session| session.close())).await;
            });
        }
    }

    /// Cancels a call that is under way here, and returns whether there is one. Its stream is kept no longer.
    pub(crate) fn cancel(&self, session: &Session, id: &RequestId) -> bool {
        self.replay_store.unwanted(session.nonce(), id);
        session.cancel(id)
    }

    /// Where work goes on that outlives a request.
    pub(super) fn background(&self) -> &TaskTracker {
        &self.background
    }

    /// How many sessions are remembered.
    pub(crate) fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// A session of another replica, or one that was forgotten here.
    async fn recall(&self, id: &str, now: Timestamp) -> Result<Option<Arc<Session>>> {
        let Some(session) = self
            .keys
            .open(Purpose::Session, id)
            .and_then(|payload| Session::read(&payload, now))
        else {
            return Ok(None);
        };
        if let Some(kept) = self.store.get(&session.key(), now).await?
            && !session.take(&kept.value)
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
        let gone = if live.by_id.len() > self.most || now - live.swept >= 10 {
            live.sweep(now, self.idle, self.most)
        } else {
            Vec::new()
        };
        drop(live);
        self.let_go(gone);
        session
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, ActiveSessions> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
