//! A session at a legacy server, which is opened again when the server forgets it.
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
use portolan_core::{Result, UpstreamCredential};
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

/// How long the end of a session waits for messages that are being sent in it.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A session at a server: opened by the first call, and again when the server has forgotten it.
#[derive(Debug)]
pub struct UpstreamSession {
    http: Weak<HttpServer>,
    credential: Arc<UpstreamCredential>,
    open: ArcSwapOption<OpenSession>,
    opening: Mutex<()>,
    /// Receives messages of the GET stream, where they can be assigned to a call.
    listener: std::sync::Mutex<Option<Arc<SessionListener>>>,
    /// Set when something outlives the calls, such as a task: only the server ends the session.
    pinned: AtomicBool,
    /// The number of calls in the session now.
    calls: AtomicUsize,
}

/// The use of a session by a call. While one exists, no pool ends the session.
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

    /// Returns a session that is open already, perhaps at another replica.
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

    /// Returns `true` if no call is in the session.
    pub(crate) fn is_idle(&self) -> bool {
        self.calls.load(Ordering::Relaxed) == 0
    }

    /// Returns `true` if this session belongs to `http` and to the version of `credential`. Without a version, the headers
    /// have to be the same.
    pub(crate) fn fits(&self, http: &Arc<HttpServer>, credential: &UpstreamCredential) -> bool {
        let own = &self.credential;
        std::ptr::eq(self.http.as_ptr(), Arc::as_ptr(http))
            && own.version == credential.version
            && (own.version.is_some() || own.headers == credential.headers)
    }

    /// Returns the open session; `handshake` opens it if it is not open. Only one caller opens at a time.
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

    /// Starts to read the GET stream, if the session is open.
    pub(crate) fn follow(&self, reader: &dyn SessionStreamReader) -> Option<StreamOpening> {
        let (open, http) = (self.open.load_full()?, self.http.upgrade()?);
        reader.follow(&http, &open, &self.credential)
    }

    /// Marks that something in the session outlives its calls, such as a task.
    pub(crate) fn pin(&self) {
        self.pinned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_pinned(&self) -> bool {
        self.pinned.load(Ordering::Relaxed)
    }

    /// Returns the session if it is open under this id.
    pub(crate) fn open_as(&self, id: &str) -> Option<Arc<OpenSession>> {
        let open = self.open.load_full()?;
        (open.id.as_ref()? == id).then_some(open)
    }

    /// Registers a call that receives messages of the GET stream. With `is_exclusive`, no other call is in the session.
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

    /// Returns `true` if the server has sent a request that can be assigned to no call.
    pub(crate) fn is_astray(&self) -> bool {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().is_some_and(|listener| listener.is_astray())
    }

    /// Records that the server has forgotten `expired`. The next call opens a new session, unless another one did already.
    pub(crate) fn expire(&self, expired: &Arc<OpenSession>) {
        let none: Option<Arc<OpenSession>> = None;
        self.open.compare_and_swap(&Some(expired.clone()), none);
    }

    /// Ends the session at the server, which may refuse or be gone; both do no harm.
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

#[cfg(test)]
mod tests {
    use portolan_core::{HttpEndpoint, Secret, ServerSpec};

    use super::*;
    use crate::client::Client;
    use crate::config::ClientConfig;

    fn http() -> Arc<HttpServer> {
        let spec = ServerSpec::remote("up", "http://127.0.0.1:9/mcp").expect("a server");
        let endpoint = HttpEndpoint::new("http://127.0.0.1:9/mcp".parse().expect("a URL"));
        let client = Client::new(ClientConfig::default());
        Arc::new(HttpServer::new(
            Arc::new(spec),
            endpoint,
            client,
            Arc::default(),
            Arc::default(),
        ))
    }

    fn bearer(token: &str) -> UpstreamCredential {
        UpstreamCredential::none().with_header(http::header::AUTHORIZATION, Secret::new(token))
    }

    #[test]
    fn session_is_in_use_while_a_call_has_a_guard() {
        let session = Arc::new(UpstreamSession::new(&http(), Arc::default()));
        let first = session.clone().enter_call();
        let second = first.clone();
        drop(first);
        assert!(!session.is_idle());
        drop(second);
        assert!(session.is_idle());
    }

    #[test]
    fn references_do_not_keep_a_session_in_use() {
        let session = Arc::new(UpstreamSession::new(&http(), Arc::default()));
        let reference = session.clone();
        assert!(session.is_idle());
        let in_use = reference.clone().enter_call();
        drop((reference, session));
        assert!(!in_use.is_idle());
    }

    #[test]
    fn session_fits_its_server_and_credential() {
        let (server, other) = (http(), http());
        let session = UpstreamSession::new(&server, Arc::new(bearer("alice")));
        assert!(session.fits(&server, &bearer("alice")));
        assert!(!session.fits(&server, &bearer("bob")));
        assert!(!session.fits(&other, &bearer("alice")));
    }
}
