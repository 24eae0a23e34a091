//! Routes requests.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method as Verb, Request, StatusCode,
    header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
};
use hyper::body::Incoming;
use portolan_core::{ChannelRequest, Error, Result, Secret, ServerHandshake};
use portolan_wire::{id::RequestId, method::Method, object::quote};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    auth,
    call::Call,
    health, legacy, modern, notification_stream,
    relay::Relay,
    reply::{self, Reply},
    request_body,
    session::Sessions,
};
use crate::{
    StdioServer,
    channel::{DispatchedCall, Phase, StdioChannel, stopped},
};

/// How long a request waits for a server that is starting.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The state that all requests share.
pub(super) struct Bridge {
    pub(super) server: Arc<StdioServer>,
    pub(super) sessions: Sessions,
    /// Cancelled when no new call is accepted any more.
    pub(super) shutdown: CancellationToken,
    /// The calls under way.
    pub(super) calls: TaskTracker,
    path: String,
    token: Option<Secret>,
    timeout: Duration,
    /// The params of the last `logging/setLevel`, to be sent again after a restart.
    log_level: Mutex<Option<Bytes>>,
}

impl Bridge {
    pub(super) fn new(server: Arc<StdioServer>, path: String, token: Option<Secret>, timeout: Duration) -> Self {
        Self {
            server,
            sessions: Sessions::default(),
            shutdown: CancellationToken::new(),
            calls: TaskTracker::new(),
            path,
            token,
            timeout,
            log_level: Mutex::default(),
        }
    }

    pub(super) async fn respond(&self, request: Request<Incoming>) -> Reply {
        if request.uri().path() == "/healthz" && matches!(*request.method(), Verb::GET | Verb::HEAD) {
            return health::reply(&self.channel().phase(), self.shutdown.is_cancelled());
        }
        if !auth::is_authorized(self.token.as_ref(), request.headers()) {
            let mut reply = reply::empty(StatusCode::UNAUTHORIZED);
            let bearer = HeaderValue::from_static("Bearer");
            reply.headers_mut().insert(WWW_AUTHENTICATE, bearer);
            return reply;
        }
        if request.uri().path() != self.path {
            return reply::empty(StatusCode::NOT_FOUND);
        }
        if !auth::is_origin_allowed(request.headers()) {
            return reply::empty(StatusCode::FORBIDDEN);
        }
        match *request.method() {
            Verb::POST => self.post(request).await,
            Verb::GET | Verb::DELETE => self.session(&request).await,
            _ => not_allowed("POST, GET, DELETE"),
        }
    }

    async fn post(&self, request: Request<Incoming>) -> Reply {
        let (headers, message) = match request_body::read(request).await {
            Ok(read) => read,
            Err(reply) => return reply,
        };
        let is_call = matches!(message, portolan_wire::envelope::Message::Request(_));
        if is_call && self.shutdown.is_cancelled() {
            return reply::shutdown();
        }
        match self.handshake().await {
            Ok(handshake) if handshake.modern => modern::post(self, &headers, message).await,
            Ok(handshake) => legacy::post(self, &headers, message, &handshake).await,
            Err(why) => self.error_reply_for(message.id(), &why),
        }
    }

    async fn session(&self, request: &Request<Incoming>) -> Reply {
        match self.handshake().await {
            Ok(handshake) if handshake.modern => not_allowed("POST"),
            Ok(_) if request.method() == Verb::DELETE => legacy::delete(self, request.headers()),
            Ok(_) if self.shutdown.is_cancelled() => reply::shutdown(),
            Ok(_) => notification_stream::get(self, request.headers()),
            Err(why) => self.error_reply_for(None, &why),
        }
    }

    /// Returns the server's handshake, waiting for its start.
    async fn handshake(&self) -> Result<ServerHandshake> {
        let ready = self.channel().wait(Some(Instant::now() + START_TIMEOUT)).await?;
        ready
            .handshake
            .clone()
            .ok_or_else(|| self.channel().not_ready(stopped()))
    }

    /// Sends a request to the server.
    pub(super) async fn send(
        &self,
        method: &str,
        params: Option<Bytes>,
        requester_key: Option<Arc<str>>,
    ) -> Result<DispatchedCall> {
        let timeout = match *method == *Method::Listen.as_str() {
            true => Duration::MAX,
            false => self.timeout,
        };
        let mut request = ChannelRequest::new(method, params, timeout);
        request.requester_key = requester_key;
        self.channel().dispatch(&request).await
    }

    pub(super) fn call(&self, dispatched: DispatchedCall, relay: Relay) -> Call {
        Call::new(dispatched, relay, self.shutdown.clone(), &self.calls)
    }

    /// Returns the response to a request that was not sent to the server.
    pub(super) fn error_reply(&self, id: &RequestId, why: &Error) -> Reply {
        self.error_reply_for(Some(id), why)
    }

    fn error_reply_for(&self, id: Option<&RequestId>, why: &Error) -> Reply {
        let mut reply = reply::error(reply::failure_status(why, false), id, &reply::failure(why));
        if why.is_retryable() {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        reply
    }

    /// Unsubscribes from resources that no session subscribes to any more.
    pub(super) fn unsubscribe(&self, uris: Vec<String>) {
        uris.iter()
            .for_each(|uri| self.send_in_background(Method::ResourcesUnsubscribe, subscription(uri)));
    }

    /// Sends subscriptions and log level to a server that was restarted.
    pub(super) fn resend_state(&self) {
        let uris: HashSet<String> = self.sessions.subscriptions();
        uris.iter()
            .for_each(|uri| self.send_in_background(Method::ResourcesSubscribe, subscription(uri)));
        let level = self.log_level.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(params) = level {
            self.send_in_background(Method::SetLevel, params);
        }
    }

    pub(super) fn set_log_level(&self, params: Option<Bytes>) {
        let params = params.map(|params| Bytes::copy_from_slice(&params));
        *self.log_level.lock().unwrap_or_else(PoisonError::into_inner) = params;
    }

    /// Sends a request and ignores its response.
    fn send_in_background(&self, method: Method, params: Bytes) {
        let server = self.server.clone();
        let request = ChannelRequest::new(method.as_str(), Some(params), START_TIMEOUT);
        self.calls.spawn(async move {
            if let Ok(mut dispatched) = server.supervisor.shared.channel.dispatch(&request).await {
                while dispatched.events.recv().await.is_some() {}
            }
        });
    }

    pub(super) fn channel(&self) -> &StdioChannel {
        &self.server.supervisor.shared.channel
    }

    pub(super) fn phases(&self) -> tokio::sync::watch::Receiver<Phase> {
        self.channel().phases()
    }
}

fn subscription(uri: &str) -> Bytes {
    [&br#"{"uri":"#[..], &quote(uri), b"}"].concat().into()
}

fn not_allowed(allowed: &'static str) -> Reply {
    let mut reply = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}
