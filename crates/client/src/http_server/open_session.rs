//! A session that a legacy server knows, and what is told to the server in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use portolan_core::{Result, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Outcome},
    error::ErrorObject,
    method::Method,
    object::RawObject,
};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::{collect, http_server::HttpServer, session_ref::UpstreamSessionRef};

/// A session that the server knows.
#[derive(Debug)]
pub struct OpenSession {
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
    pub fn reference(&self) -> Option<UpstreamSessionRef> {
        let session = match &self.id {
            Some(id) => Some(id.to_str().ok()?),
            None => None,
        };
        Some(UpstreamSessionRef::new(session, self.version.to_str().ok()?))
    }

    /// Whether the server gave the session an id.
    pub fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Marks the GET stream of this session as read; `false` if it is read already.
    pub fn follow(&self) -> bool {
        !self.followed.swap(true, Ordering::AcqRel)
    }

    /// Marks the GET stream of this session as read no more.
    pub fn unfollow(&self) {
        self.followed.store(false, Ordering::Release);
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    /// A session that nothing was told in yet.
    pub(crate) fn new(id: Option<HeaderValue>, version: HeaderValue) -> Self {
        Self {
            id,
            version,
            telling: TaskTracker::new(),
            level: AtomicU8::new(0),
            followed: AtomicBool::new(false),
            beside: Mutex::default(),
            beside_settled: AtomicBool::new(false),
        }
    }

    /// A session that another replica may have opened.
    pub(crate) fn at(session_ref: &UpstreamSessionRef) -> Option<Self> {
        let session = session_ref.session.as_deref().map(HeaderValue::try_from).transpose();
        let version = HeaderValue::try_from(&*session_ref.version).ok()?;
        Some(Self::new(session.ok()?, version))
    }
}

/// Tells a server something in a session. The session waits for this before it ends, and so does the gateway.
pub(crate) fn tell(http: &Arc<HttpServer>, open: &Arc<OpenSession>, credential: &Arc<UpstreamCredential>, text: Bytes) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    let telling = {
        let (http, open, credential) = (http.clone(), open.clone(), credential.clone());
        async move { http.notify(&open, &credential, text).await }
    };
    let telling = http.tasks().track_future(telling);
    open.telling.spawn_on(telling, &runtime);
}

/// Answers a server that asks where nobody can be asked.
pub fn refuse_request(
    http: &Arc<HttpServer>,
    open: &Arc<OpenSession>,
    credential: &Arc<UpstreamCredential>,
    asked: &envelope::Request,
) {
    let text = match asked.method {
        Method::Ping => envelope::result(&asked.id, b"{}"),
        _ => envelope::error(Some(&asked.id), &ErrorObject::method_not_found(asked.method.as_str())),
    };
    let (http, open, credential) = (http.clone(), open.clone(), credential.clone());
    let tasks = http.tasks().clone();
    tasks.spawn(async move { http.notify(&open, &credential, text).await });
}

/// A small request within a session, and what is answered.
pub(crate) async fn session_request(
    http: &HttpServer,
    open: &OpenSession,
    credential: &UpstreamCredential,
    method: &Method,
    params: &RawObject,
) -> Result<Outcome> {
    let id = http.next_id();
    let headers = http.headers_in(open, credential, &HeaderMap::new());
    let text = envelope::request(&id, method, Some(&params.to_bytes()));
    let (head, body) = http.exchange(headers, text, credential, method.as_str()).await?;
    match collect::outcome(&body) {
        Some(outcome) => Ok(outcome),
        None => Err(http.refused_with(head.status)),
    }
}
