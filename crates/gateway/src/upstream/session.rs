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
    http::HttpUpstream,
    listener::{CallGuard, SessionListener},
};
use crate::{
    server_requests::UpstreamSessionRef,
    subscriptions::{Opening, Subscriber},
};

/// How long a session's end waits for what is still being told in it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A session at a server: opened when it is first needed, and again when the server has forgotten it.
#[derive(Debug)]
pub(crate) struct UpstreamSession {
    http: Weak<HttpUpstream>,
    credential: Arc<UpstreamCredential>,
    open: ArcSwapOption<OpenSession>,
    opening: Mutex<()>,
    /// What is heard beside the calls that are made here, where that can be told whose it is.
    listener: std::sync::Mutex<Option<Arc<SessionListener>>>,
    /// Something in it outlives its calls: only the server ends it.
    pinned: AtomicBool,
}

/// A session that the server knows.
#[derive(Debug)]
pub(crate) struct OpenSession {
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

impl OpenSession {
    /// What another replica needs to take part in this session.
    pub(crate) fn session_ref(&self) -> Option<UpstreamSessionRef> {
        let session = match &self.id {
            Some(id) => Some(id.to_str().ok()?.into()),
            None => None,
        };
        Some(UpstreamSessionRef {
            session,
            version: self.version.to_str().ok()?.into(),
        })
    }

    /// A session that another replica may have opened.
    pub(crate) fn at(session_ref: &UpstreamSessionRef) -> Option<Self> {
        let session = session_ref.session.as_deref().map(HeaderValue::try_from).transpose();
        Some(Self {
            id: session.ok()?,
            version: HeaderValue::try_from(&*session_ref.version).ok()?,
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
            listener: std::sync::Mutex::default(),
            pinned: AtomicBool::new(false),
        }
    }

    /// One that is open already, perhaps at another replica.
    pub(crate) fn seated(
        http: &Arc<HttpUpstream>,
        credential: Arc<UpstreamCredential>,
        open: Arc<OpenSession>,
    ) -> Self {
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
    pub(crate) async fn get(&self, shake_hands: impl AsyncFnOnce() -> Result<OpenSession>) -> Result<Arc<OpenSession>> {
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
    pub(crate) fn follow(&self, subscriber: &Subscriber) -> Option<Opening> {
        let (open, http) = (self.open.load_full()?, self.http.upgrade()?);
        subscriber
            .session_streams
            .follow(&http, &open, &self.credential, &subscriber.queue)
    }

    /// From now on something in it outlives its calls, such as a task.
    pub(super) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// The session as it is open under this id.
    pub(super) fn open_as(&self, id: &str) -> Option<Arc<OpenSession>> {
        let open = self.open.load_full()?;
        (open.id.as_ref()? == id).then_some(open)
    }

    /// Lets a call in that is to hear what the server says beside it; `is_exclusive` if no other is made here meanwhile.
    pub(super) fn enter(
        self: &Arc<Self>,
        http: &Arc<HttpUpstream>,
        open: &Arc<OpenSession>,
        is_exclusive: bool,
    ) -> Option<CallGuard> {
        if open.id.is_none() {
            http.note_no_get_stream();
        }
        if http.has_no_get_stream() {
            return None;
        }
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = listener.as_ref().filter(|listener| listener.is_of(open))
            && let Some(call_guard) = known.enter(is_exclusive)
        {
            return Some(call_guard);
        }
        let new = SessionListener::begin(self, http, open, &self.credential)?;
        let call_guard = new.enter(is_exclusive);
        *listener = Some(new);
        call_guard
    }

    /// Whether the server asks here what no call can be told of for certain.
    pub(super) fn is_astray(&self) -> bool {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().is_some_and(|listener| listener.is_astray())
    }

    /// Notes that the server knows `expired` no longer. Whoever comes next opens a new one, unless somebody did already.
    pub(crate) fn expire(&self, expired: &Arc<OpenSession>) {
        let none: Option<Arc<OpenSession>> = None;
        self.open.compare_and_swap(&Some(expired.clone()), none);
    }

    /// Tells the server that the session is over. It may refuse, and may be gone; both are fine.
    pub(crate) async fn close(&self) {
        if let (Some(open), Some(http)) = (self.open.swap(None), self.http.upgrade()) {
            self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            open.telling.close();
            let _ = tokio::time::timeout(LAST_WORDS, open.telling.wait()).await;
            http.end_session(&open, &self.credential).await;
        }
    }
}
