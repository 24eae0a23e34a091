//! A legacy session at a server, that heals.
//!
//! ```text
//! none ──open──► open ──404 to a call──► expired ──open, once──► open
//! ```

use std::{
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use portolan_core::{Result, UpstreamCredential, Version};
use portolan_wire::level::LogLevel;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use super::{
    ear::{Ear, Presence},
    http::HttpUpstream,
};
use crate::{
    question::Seat,
    stream::{Listener, Opening},
};

/// How long a session's end waits for what is still being told in it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A session at a server: opened when it is first needed, and again when the server has forgotten it.
#[derive(Debug)]
pub(crate) struct UpstreamSession {
    http: Weak<HttpUpstream>,
    credential: Arc<UpstreamCredential>,
    open: ArcSwapOption<Open>,
    opening: Mutex<()>,
    /// What is heard beside the calls that are made here, where that can be told whose it is.
    ear: std::sync::Mutex<Option<Arc<Ear>>>,
    /// Something in it outlives its calls: only the server ends it.
    pinned: AtomicBool,
}

/// A session that the server knows.
#[derive(Debug)]
pub(crate) struct Open {
    /// Its id; servers without sessions give none.
    pub(crate) id: Option<HeaderValue>,
    /// The version that was agreed on.
    pub(crate) version: HeaderValue,
    /// What is being told to the server in this session, such as that a call is cancelled.
    pub(crate) telling: TaskTracker,
    /// The number of the level from which on the server was asked to log; 0 if it was not asked.
    pub(crate) level: AtomicU8,
    /// Whether its GET stream is followed for the client's session that it belongs to.
    pub(crate) followed: AtomicBool,
    /// Held by who waits for that stream to open; and whether nobody has to wait for it any more.
    pub(crate) beside: Mutex<()>,
    pub(crate) beside_settled: AtomicBool,
}

impl Open {
    /// What another replica needs to take part in this session.
    pub(crate) fn seat(&self) -> Option<Seat> {
        let session = match &self.id {
            Some(id) => Some(id.to_str().ok()?.into()),
            None => None,
        };
        Some(Seat {
            session,
            version: self.version.to_str().ok()?.into(),
        })
    }

    /// A session that another replica may have opened.
    pub(crate) fn at(seat: &Seat) -> Option<Self> {
        let session = seat.session.as_deref().map(HeaderValue::try_from).transpose();
        Some(Self {
            id: session.ok()?,
            version: HeaderValue::try_from(&*seat.version).ok()?,
            telling: TaskTracker::new(),
            level: AtomicU8::new(0),
            followed: AtomicBool::new(false),
            beside: Mutex::default(),
            beside_settled: AtomicBool::new(false),
        })
    }
}

impl UpstreamSession {
    pub(crate) fn new(http: &Arc<HttpUpstream>, credential: Arc<UpstreamCredential>) -> Self {
        Self {
            http: Arc::downgrade(http),
            credential,
            open: None.into(),
            opening: Mutex::default(),
            ear: std::sync::Mutex::default(),
            pinned: AtomicBool::new(false),
        }
    }

    /// One that is open already, perhaps at another replica.
    pub(crate) fn seated(http: &Arc<HttpUpstream>, credential: Arc<UpstreamCredential>, open: Arc<Open>) -> Self {
        Self {
            open: Some(open).into(),
            ..Self::new(http, credential)
        }
    }

    /// Whether this session was opened at `http` as who `version` stands for.
    pub(crate) fn fits(&self, http: &Arc<HttpUpstream>, version: Option<Version>) -> bool {
        std::ptr::eq(self.http.as_ptr(), Arc::as_ptr(http)) && self.credential.version == version
    }

    /// The session, opened by `shake_hands` if it is not open. Only one opens at a time.
    pub(crate) async fn get(&self, shake_hands: impl AsyncFnOnce() -> Result<Open>) -> Result<Arc<Open>> {
        if let Some(open) = self.open.load_full() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = self.open.load_full() {
            return Ok(open);
        }
        let open = Arc::new(shake_hands().await?);
        self.open.store(Some(open.clone()));
        Ok(open)
    }

    /// Asks the server, if the session is open, to log from `level` on.
    pub(crate) async fn set_level(&self, level: LogLevel) {
        if let (Some(open), Some(http)) = (self.open.load_full(), self.http.upgrade()) {
            http.set_level(&open, &self.credential, level).await;
        }
    }

    /// Hears, if the session is open, what the server tells in it outside of calls.
    pub(crate) fn follow(&self, listener: &Listener) -> Option<Opening> {
        let (open, http) = (self.open.load_full()?, self.http.upgrade()?);
        listener.asides.follow(&http, &open, &self.credential, &listener.outbox)
    }

    /// From now on something in it outlives its calls, such as a task.
    pub(super) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// The session as it is open under this id.
    pub(super) fn open_as(&self, id: &str) -> Option<Arc<Open>> {
        let open = self.open.load_full()?;
        (open.id.as_ref()? == id).then_some(open)
    }

    /// Lets a call in that is to hear what the server says beside it; `alone` if no other is made here meanwhile.
    pub(super) fn enter(self: &Arc<Self>, http: &Arc<HttpUpstream>, open: &Arc<Open>, alone: bool) -> Option<Presence> {
        if open.id.is_none() {
            http.note_mute();
        }
        if http.is_mute() {
            return None;
        }
        let mut ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ear.as_ref().filter(|ear| ear.is_of(open))
            && let Some(presence) = known.enter(alone)
        {
            return Some(presence);
        }
        let new = Ear::begin(self, http, open, &self.credential)?;
        let presence = new.enter(alone);
        *ear = Some(new);
        presence
    }

    /// Whether the server asks here what no call can be told of for certain.
    pub(super) fn is_astray(&self) -> bool {
        let ear = self.ear.lock().unwrap_or_else(PoisonError::into_inner);
        ear.as_ref().is_some_and(|ear| ear.is_astray())
    }

    /// Notes that the server knows `expired` no longer. Whoever comes next opens a new one, unless somebody did already.
    pub(crate) fn expire(&self, expired: &Arc<Open>) {
        let none: Option<Arc<Open>> = None;
        self.open.compare_and_swap(&Some(expired.clone()), none);
    }

    /// Tells the server that the session is over. It may refuse, and may be gone; both are fine.
    pub(crate) async fn close(&self) {
        if let (Some(open), Some(http)) = (self.open.swap(None), self.http.upgrade()) {
            self.ear.lock().unwrap_or_else(PoisonError::into_inner).take();
            open.telling.close();
            let _ = tokio::time::timeout(LAST_WORDS, open.telling.wait()).await;
            http.end_session(&open, &self.credential).await;
        }
    }
}
