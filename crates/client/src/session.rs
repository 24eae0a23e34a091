//! A legacy session at a server, that heals.
//!
//! ```text
//! none ──open──► open ──404 to a call──► expired ──open, once──► open
//! ```

pub(crate) mod exclusive;
pub(crate) mod listener;
pub(crate) mod pool;
pub(crate) mod stream_reader;

use std::{
    sync::{
        Arc, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use portolan_core::{Result, UpstreamCredential, Version};
use portolan_wire::level::LogLevel;
use tokio::sync::Mutex;

use crate::{
    http_server::{HttpServer, open_session::OpenSession},
    session::{
        listener::{CallGuard, SessionListener},
        pool::SessionPool,
        stream_reader::{SessionStreamReader, StreamOpening},
    },
};

/// How long a session's end waits for what is still being told in it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A session at a server: opened when it is first needed, and again when the server has forgotten it.
#[derive(Debug)]
pub struct UpstreamSession {
    http: Weak<HttpServer>,
    credential: Arc<UpstreamCredential>,
    open: ArcSwapOption<OpenSession>,
    opening: Mutex<()>,
    /// What is heard beside the calls that are made here, where that can be told whose it is.
    listener: std::sync::Mutex<Option<Arc<SessionListener>>>,
    /// Something in it outlives its calls: only the server ends it.
    pinned: AtomicBool,
    /// Calls that are made in it now.
    calls: AtomicUsize,
}

/// A session while a call is made in it: no pool ends it meanwhile.
#[derive(Debug)]
pub(crate) struct SessionUse(Arc<UpstreamSession>);

impl UpstreamSession {
    pub(crate) fn new(http: &Arc<HttpServer>, credential: Arc<UpstreamCredential>) -> Self {
        Self {
            http: Arc::downgrade(http),
            credential,
            open: None.into(),
            opening: Mutex::default(),
            listener: std::sync::Mutex::default(),
            pinned: AtomicBool::new(false),
            calls: AtomicUsize::new(0),
        }
    }

    /// One that is open already, perhaps at another replica.
    pub(crate) fn joined(http: &Arc<HttpServer>, credential: Arc<UpstreamCredential>, open: Arc<OpenSession>) -> Self {
        Self {
            open: Some(open).into(),
            ..Self::new(http, credential)
        }
    }

    /// Uses the session for a call, until the guard is dropped.
    pub(crate) fn enter_call(self: Arc<Self>) -> SessionUse {
        self.calls.fetch_add(1, Ordering::Relaxed);
        SessionUse(self)
    }

    /// Whether no call is made in it.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }

    /// Whether this session was opened at `http` as who `version` stands for.
    pub(crate) fn fits(&self, http: &Arc<HttpServer>, version: Option<Version>) -> bool {
        std::ptr::eq(self.http.as_ptr(), Arc::as_ptr(http)) && self.credential.version == version
    }

    /// The session, opened by `handshake` if it is not open. Only one opens at a time.
    pub(crate) async fn get(&self, handshake: impl AsyncFnOnce() -> Result<OpenSession>) -> Result<Arc<OpenSession>> {
        if let Some(open) = self.open.load_full() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = self.open.load_full() {
            return Ok(open);
        }
        let open = Arc::new(handshake().await?);
        self.open.store(Some(open.clone()));
        Ok(open)
    }

    /// Asks the server, if the session is open, to log from `level` on.
    pub async fn set_level(&self, level: LogLevel) {
        if let (Some(open), Some(http)) = (self.open.load_full(), self.http.upgrade()) {
            http.set_level(&open, &self.credential, level).await;
        }
    }

    /// Hears, if the session is open, what the server tells in it outside of calls.
    pub(crate) fn follow(&self, reader: &dyn SessionStreamReader) -> Option<StreamOpening> {
        let (open, http) = (self.open.load_full()?, self.http.upgrade()?);
        reader.follow(&http, &open, &self.credential)
    }

    /// From now on something in it outlives its calls, such as a task.
    pub(crate) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// The session as it is open under this id.
    pub(crate) fn open_as(&self, id: &str) -> Option<Arc<OpenSession>> {
        let open = self.open.load_full()?;
        (open.id.as_ref()? == id).then_some(open)
    }

    /// Lets a call in that is to hear what the server says beside it; `is_exclusive` if no other is made here meanwhile.
    pub(crate) fn enter(
        self: &Arc<Self>,
        pool: &Arc<SessionPool>,
        open: &Arc<OpenSession>,
        is_exclusive: bool,
    ) -> Option<CallGuard> {
        let http = pool.http();
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
        let new = SessionListener::begin(self, pool, open, &self.credential)?;
        let call_guard = new.enter(is_exclusive);
        *listener = Some(new);
        call_guard
    }

    /// Whether the server asks here what no call can be told of for certain.
    pub(crate) fn is_astray(&self) -> bool {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().is_some_and(|listener| listener.is_astray())
    }

    /// Notes that the server knows `expired` no longer. Whoever comes next opens a new one, unless somebody did already.
    pub(crate) fn expire(&self, expired: &Arc<OpenSession>) {
        let none: Option<Arc<OpenSession>> = None;
        self.open.compare_and_swap(&Some(expired.clone()), none);
    }

    /// Tells the server that the session is over. It may refuse, and may be gone; both are fine.
    pub async fn close(&self) {
        if let (Some(open), Some(http)) = (self.open.swap(None), self.http.upgrade()) {
            self.listener.lock().unwrap_or_else(PoisonError::into_inner).take();
            open.telling.close();
            let _ = tokio::time::timeout(LAST_WORDS, open.telling.wait()).await;
            http.end_session(&open, &self.credential).await;
        }
    }
}

impl std::ops::Deref for SessionUse {
    type Target = Arc<UpstreamSession>;

    fn deref(&self) -> &Arc<UpstreamSession> {
        &self.0
    }
}

impl Clone for SessionUse {
    fn clone(&self) -> Self {
        self.0.clone().enter_call()
    }
}

impl Drop for SessionUse {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}
