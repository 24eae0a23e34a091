//! An open session at a legacy server, and the messages of the client in it.

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

/// An open session.
#[derive(Debug)]
pub struct OpenSession {
    /// The session id; `None` if the server gave none.
    pub(crate) id: Option<HeaderValue>,
    /// The negotiated protocol version.
    pub(crate) version: HeaderValue,
    /// The messages that are being sent in this session, such as cancellations.
    pub(crate) telling: TaskTracker,
    /// The number of the lowest log level that the server was asked for; 0 if it was not asked.
    pub(crate) level: AtomicU8,
    /// `true` if its GET stream is read for the client's session that it belongs to.
    pub(crate) followed: AtomicBool,
    /// Held while a call waits for that stream to open; `beside_settled` is set when no call has to wait any more.
    pub(crate) beside: Mutex<()>,
    pub(crate) beside_settled: AtomicBool,
}

impl OpenSession {
    /// Returns the reference with which another replica can join this session.
    pub fn reference(&self) -> Option<UpstreamSessionRef> {
        let session = match &self.id {
            Some(id) => Some(id.to_str().ok()?),
            None => None,
        };
        Some(UpstreamSessionRef::new(session, self.version.to_str().ok()?))
    }

    /// Returns `true` if the server gave the session an id.
    pub fn has_id(&self) -> bool {
        self.id.is_some()
    }

    /// Marks the GET stream of this session as read; `false` if it is read already.
    pub fn follow(&self) -> bool {
        !self.followed.swap(true, Ordering::AcqRel)
    }

    /// Marks the GET stream of this session as not read.
    pub fn unfollow(&self) {
        self.followed.store(false, Ordering::Release);
    }

    pub(crate) fn is_followed(&self) -> bool {
        self.followed.load(Ordering::Relaxed)
    }

    /// Returns a session in which no message was sent.
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

    /// Returns a session that another replica may have opened.
    pub(crate) fn at(session_ref: &UpstreamSessionRef) -> Option<Self> {
        let session = session_ref.session.as_deref().map(HeaderValue::try_from).transpose();
        let version = HeaderValue::try_from(&*session_ref.version).ok()?;
        Some(Self::new(session.ok()?, version))
    }
}

/// Sends a message to a server in a session. The end of the session and of the client wait for it.
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

/// Responds with an error to a server request that has no client.
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

/// Sends a small request in a session, and returns its outcome.
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
