//! Sessions of legacy clients.
//!
//! A session id is a sealed token, so any replica can serve it without asking. What a replica remembers beside it (the
//! upstream sessions that belong to it, its calls under way) may be forgotten at any time and made anew. What it has
//! subscribed to, and that it has ended, is kept in the store under `session/<nonce>`.

mod state;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU8, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::{
    digest,
    rand::{SecureRandom, SystemRandom},
};
use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use portolan_core::{Caller, Clock, Error, GatewayName, Precondition, Result, ServerName, SessionStore};
use portolan_wire::{era::ProtocolVersion, id::RequestId, level::LogLevel};
use tokio_util::task::TaskTracker;

use crate::{
    cancellation::Cancellation,
    config::GatewayConfig,
    question::Abilities,
    seal::{Purpose, TokenKeys},
    stream::{Listener, Opening},
    tasks::Begun,
    upstream::{Open, UpstreamSession},
};

pub(crate) use self::state::State;

const NONCE_LEN: usize = 16;
/// version ‖ nonce ‖ caller and gateway ‖ end, in seconds ‖ what the client can be asked.
const PAYLOAD_LEN: usize = 1 + NONCE_LEN + 16 + 8 + 1;
/// How often a replica makes sure that a session which it remembers was not ended on another, in seconds.
const CHECKED_EVERY: i64 = 5;
/// How often ended sessions that would be over by now are taken out of the store, in seconds.
const SWEPT_EVERY: i64 = 600;
/// Calls of one session that can be cancelled by a notification.
const MAX_INFLIGHT: usize = 1024;

/// One session, as this replica knows it.
#[derive(Debug)]
pub(crate) struct Session {
    /// The version that was agreed on.
    pub(crate) version: ProtocolVersion,
    /// What the client can be asked.
    pub(crate) abilities: Abilities,
    nonce: [u8; NONCE_LEN],
    bound_to: [u8; 16],
    /// Who was found to be the one that it is bound to.
    found: OnceLock<(GatewayName, Arc<Caller>)>,
    ends: i64,
    used: AtomicI64,
    /// When it was last made sure that no replica has ended it.
    checked: AtomicI64,
    upstream: Mutex<HashMap<ServerName, Arc<UpstreamSession>>>,
    inflight: Mutex<HashMap<RequestId, Cancellation>>,
    /// The number of the level from which on it is told what is logged; 0 if it has not said.
    level: AtomicU8,
    /// What it has subscribed to.
    uris: Mutex<BTreeSet<Arc<str>>>,
    /// The tasks that its calls have become.
    pub(crate) begun: Arc<Begun>,
    /// Who tells it what happens outside of its calls, once it wants to know.
    listener: OnceLock<Arc<Listener>>,
}

/// The sessions of a gateway.
#[derive(Debug)]
pub(crate) struct Sessions {
    keys: Arc<TokenKeys>,
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    idle: i64,
    total: i64,
    most: usize,
    live: Mutex<Live>,
    /// When the store was last swept.
    swept: AtomicI64,
    /// Where sessions upstream are ended.
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Live {
    by_id: HashMap<Arc<str>, Arc<Session>>,
    /// The ids, by nonce.
    ids: HashMap<[u8; NONCE_LEN], Arc<str>>,
    swept: i64,
}

impl Sessions {
    pub(crate) fn new(
        config: &GatewayConfig,
        keys: Arc<TokenKeys>,
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        tasks: TaskTracker,
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
            tasks,
        }
    }

    /// Where states are kept that all replicas know.
    pub(crate) fn store(&self) -> &Arc<dyn SessionStore> {
        &self.store
    }

    /// Opens a session and gives its id.
    pub(crate) fn open(
        &self,
        gateway: &GatewayName,
        caller: &Caller,
        version: ProtocolVersion,
        abilities: Abilities,
    ) -> Result<String> {
        let now = self.clock.now().as_second();
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| Error::Backend {
            backend: "the random number generator",
            action: "give random bytes".into(),
            source: "it failed".into(),
        })?;
        let session = Session {
            version,
            abilities,
            nonce,
            bound_to: bind(gateway, caller),
            found: OnceLock::new(),
            ends: now.saturating_add(self.total),
            used: AtomicI64::new(now),
            checked: AtomicI64::new(now),
            upstream: Mutex::default(),
            inflight: Mutex::default(),
            level: AtomicU8::default(),
            uris: Mutex::default(),
            begun: Arc::default(),
            listener: OnceLock::new(),
        };
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

    /// Cancels the calls of sessions that are remembered no longer, and ends what they held upstream.
    fn let_go(&self, sessions: Vec<Arc<Session>>) {
        for session in sessions {
            let held = session.close();
            if held.is_empty() {
                continue;
            }
            self.tasks.spawn(async move {
                session.quiet().await;
                join_all(held.iter().map(|session| session.close())).await;
            });
        }
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

    fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Forgets what is unused or over, and the longest unused above the limit; gives what it forgot. A session with a
    /// call under way stays, because the call may still be cancelled.
    fn sweep(&mut self, now: i64, idle: i64, most: usize) -> Vec<Arc<Session>> {
        self.swept = now;
        let is_over = |session: &Session| {
            session.ends <= now || (now - session.used.load(Ordering::Relaxed) >= idle && session.is_quiet())
        };
        let over = self.by_id.extract_if(|_, session| is_over(session));
        let mut gone: Vec<_> = over.map(|(_, session)| session).collect();
        if self.by_id.len() > most {
            let mut used: Vec<_> = self
                .by_id
                .values()
                .map(|session| session.used.load(Ordering::Relaxed))
                .collect();
            // A tenth more than needed goes, so that a full house is not swept at every door.
            let surplus = (self.by_id.len() - most + most / 10).min(used.len() - 1);
            let (_, last, _) = used.select_nth_unstable(surplus);
            let last = *last;
            let mut left = surplus;
            let unused = self.by_id.extract_if(|_, session| {
                let goes = left > 0 && session.used.load(Ordering::Relaxed) <= last && session.is_quiet();
                left -= usize::from(goes);
                goes
            });
            gone.extend(unused.map(|(_, session)| session));
        }
        for session in &gone {
            self.ids.remove(&session.nonce);
        }
        self.shrink();
        gone
    }

    /// Gives back the room that was needed for many more.
    fn shrink(&mut self) {
        let most = 4 * self.by_id.len() + 1024;
        if self.by_id.capacity() > most {
            self.by_id.shrink_to_fit();
        }
        if self.ids.capacity() > most {
            self.ids.shrink_to_fit();
        }
    }
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

    /// Notes a call that a notification may cancel, until the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>, id: &RequestId) -> Result<Inflight> {
        let cancelled = Cancellation::default();
        let mut inflight = self.inflight();
        if inflight.len() >= MAX_INFLIGHT {
            return Err(Error::Exhausted {
                what: "calls of one session",
                limit: MAX_INFLIGHT,
            });
        }
        if inflight.contains_key(id) {
            return Err(Error::invalid("id", "is the id of a call that is under way"));
        }
        let id = id.detached();
        inflight.insert(id.clone(), cancelled.clone());
        drop(inflight);
        Ok(Inflight {
            session: self.clone(),
            id,
            cancelled,
        })
    }

    /// Cancels a call that is under way, and says whether there is one.
    pub(crate) fn cancel(&self, id: &RequestId) -> bool {
        let cancelled = self.inflight().get(id).cloned();
        if let Some(cancelled) = &cancelled {
            cancelled.cancel();
        }
        cancelled.is_some()
    }

    /// Whether its version has tasks.
    pub(crate) fn has_tasks(&self) -> bool {
        self.version >= ProtocolVersion::V2025_11_25
    }

    /// What tells this session from every other.
    pub(crate) fn nonce(&self) -> [u8; NONCE_LEN] {
        self.nonce
    }

    fn is_quiet(&self) -> bool {
        self.inflight().is_empty()
            && !self
                .known_listener()
                .is_some_and(|listener| listener.outbox.has_reader())
    }

    /// Who tells this session what happens outside of its calls, made if there is none.
    pub(crate) fn listener(&self, make: impl FnOnce() -> Arc<Listener>) -> Arc<Listener> {
        self.listener.get_or_init(make).clone()
    }

    /// The same, if there is one.
    pub(crate) fn known_listener(&self) -> Option<&Arc<Listener>> {
        self.listener.get()
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
    pub(crate) fn follow_asides(&self, listener: &Listener) {
        for upstream in self.upstreams() {
            drop(upstream.follow(listener));
        }
    }

    /// Notes that a session at a server is open, so that it is heard what the server tells this session alone. The first
    /// time there may be something to wait for.
    pub(crate) fn opened(&self, upstream: &UpstreamSession, open: &Open) -> Option<Opening> {
        let listener = self.listener.get()?;
        if open.followed.load(Ordering::Relaxed) {
            return None;
        }
        upstream.follow(listener)
    }

    /// Whether this session is `caller`'s, on `gateway`. An authenticator gives out one value for one caller, so that
    /// mostly to look at which one it is is enough.
    fn is_of(&self, gateway: &GatewayName, caller: &Arc<Caller>) -> bool {
        if let Some((known, found)) = self.found.get()
            && known == gateway
            && Arc::ptr_eq(found, caller)
        {
            return true;
        }
        let is_of = self.bound_to == bind(gateway, caller);
        if is_of {
            self.found.get_or_init(|| (gateway.clone(), caller.clone()));
        }
        is_of
    }

    fn inflight(&self) -> MutexGuard<'_, HashMap<RequestId, Cancellation>> {
        self.inflight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no call is under way, at most for a second: calls that were cancelled tell their servers first.
    pub(crate) async fn quiet(&self) {
        for _ in 0..100 {
            if self.is_quiet() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn close(&self) -> Vec<Arc<UpstreamSession>> {
        if let Some(listener) = self.known_listener() {
            listener.close();
        }
        self.inflight().values().for_each(Cancellation::cancel);
        let mut upstream = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        upstream.drain().map(|(_, session)| session).collect()
    }

    /// Where its state and its end are kept.
    fn key(&self) -> String {
        format!("session/{}", self.name())
    }

    /// What replicas call it among themselves.
    pub(crate) fn name(&self) -> String {
        let digits = self.nonce.iter().map(|byte| format!("{byte:02x}"));
        digits.collect()
    }

    fn payload(&self) -> [u8; PAYLOAD_LEN] {
        let mut payload = [0; PAYLOAD_LEN];
        let version = ProtocolVersion::ALL
            .iter()
            .position(|version| *version == self.version)
            .unwrap_or_default();
        payload[0] = u8::try_from(version).unwrap_or_default();
        payload[1..17].copy_from_slice(&self.nonce);
        payload[17..33].copy_from_slice(&self.bound_to);
        payload[33..41].copy_from_slice(&self.ends.to_be_bytes());
        payload[41] = self.abilities.bits();
        payload
    }

    fn read(payload: &[u8], now: Timestamp) -> Option<Self> {
        let payload: &[u8; PAYLOAD_LEN] = payload.try_into().ok()?;
        Some(Self {
            version: *ProtocolVersion::ALL.get(usize::from(payload[0]))?,
            abilities: Abilities::from_bits(payload[41]),
            nonce: payload[1..17].try_into().ok()?,
            bound_to: payload[17..33].try_into().ok()?,
            found: OnceLock::new(),
            ends: i64::from_be_bytes(payload[33..41].try_into().ok()?),
            used: AtomicI64::new(now.as_second()),
            checked: AtomicI64::new(now.as_second()),
            upstream: Mutex::default(),
            inflight: Mutex::default(),
            level: AtomicU8::default(),
            uris: Mutex::default(),
            begun: Arc::default(),
            listener: OnceLock::new(),
        })
    }
}

/// A call under way, of a legacy client.
#[derive(Debug)]
pub(crate) struct Inflight {
    session: Arc<Session>,
    id: RequestId,
    /// Cancelled when the client says so.
    pub(crate) cancelled: Cancellation,
}

impl Drop for Inflight {
    fn drop(&mut self) {
        self.session.inflight().remove(&self.id);
    }
}

/// A session belongs to one caller on one gateway; presented by another, it is unknown.
pub(crate) fn bind(gateway: &GatewayName, caller: &Caller) -> [u8; 16] {
    let text = format!("{gateway}\n{}", caller.subject);
    let hashed = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bound = [0; 16];
    bound.copy_from_slice(&hashed.as_ref()[..16]);
    bound
}
