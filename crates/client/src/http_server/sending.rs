//! Requests on their way: their headers, where they go, and the small ones that the gateway sends for itself.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response};
use portolan_core::{Error, Failure, FailureKind, Result, UpstreamCredential};
use portolan_wire::{
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    collect,
    http_server::{
        HttpServer,
        open_session::{OpenSession, session_request},
    },
    http1::body::ResponseBody,
    session_ref::UpstreamSessionRef,
};

impl HttpServer {
    /// Sends something that wants no answer.
    pub async fn notify(&self, open: &OpenSession, credential: &UpstreamCredential, text: Bytes) {
        let headers = self.headers_in(open, credential, &HeaderMap::new());
        if let Err(error) = self.exchange(headers, text, credential, "a notification").await {
            tracing::debug!(server = %self.server.name, %error, "a notification did not arrive");
        }
    }

    /// Sends something in a session that another replica may have opened.
    pub(crate) async fn notify_session(
        &self,
        session_ref: &UpstreamSessionRef,
        credential: &UpstreamCredential,
        text: Bytes,
    ) -> Result<()> {
        let open = OpenSession::at(session_ref).ok_or_else(|| Error::invalid("session", "is none of this server"))?;
        let headers = self.headers_in(&open, credential, &HeaderMap::new());
        let (head, _) = self
            .exchange(headers, text, credential, "an answer of a client")
            .await?;
        if head.status.is_success() {
            return Ok(());
        }
        Err(self.failed(Failure::new(
            FailureKind::Protocol,
            format!("it does not take the client's answer (HTTP {})", head.status),
        )))
    }

    /// Asks a server to log from `level` on, once. One that does not log refuses, which is as good.
    pub(crate) async fn set_level(&self, open: &OpenSession, credential: &UpstreamCredential, level: LogLevel) {
        if open.level.load(Ordering::Relaxed) == level.number() {
            return;
        }
        let mut params = RawObject::new();
        params.set("level", object::quote(level.as_str()));
        if let Err(error) = session_request(self, open, credential, &Method::SetLevel, &params).await {
            tracing::debug!(server = %self.server.name, %error, "a server cannot be told from which level on to log");
        }
        // Not before it knows: a call that comes meanwhile tells it once more, rather than go first.
        open.level.store(level.number(), Ordering::Relaxed);
    }

    /// Ends a session.
    pub(crate) async fn end_session(&self, open: &OpenSession, credential: &UpstreamCredential) {
        if open.id.is_none() {
            return;
        }
        let headers = self.headers_in(open, credential, &HeaderMap::new());
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return;
        };
        *request.method_mut() = Verb::DELETE;
        let sending = self.send(request, credential);
        let _ = tokio::time::timeout(self.client.config().timeouts.connect, sending).await;
    }

    /// A small request and the one message that answers it, within the time of a handshake.
    pub(crate) async fn exchange(
        &self,
        headers: HeaderMap,
        text: Bytes,
        credential: &UpstreamCredential,
        what: &str,
    ) -> Result<(http::response::Parts, Bytes)> {
        let after = self.client.config().timeouts.handshake;
        let exchange = async {
            let response = self.send(self.post(headers, text)?, credential).await?;
            let (head, body) = response.into_parts();
            // Half an answer says nothing, in particular not that the server is a legacy one.
            let message = collect::message(&head.headers, body, self.client.config().limits.held_bytes).await;
            let message =
                message.ok_or_else(|| self.failed(Failure::new(FailureKind::Connection, "its answer broke off")))?;
            Ok((head, message))
        };
        match tokio::time::timeout(after, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout {
                action: format!("the answer of server {:?} to {what}", self.server.name.as_str()),
                after,
            }),
        }
    }

    pub(crate) fn post(&self, headers: HeaderMap, text: Bytes) -> Result<Box<Request<Bytes>>> {
        let (_, target) = self.place()?;
        let mut request = Box::new(Request::new(text));
        *request.method_mut() = Verb::POST;
        *request.uri_mut() = target.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }

    pub(crate) async fn send(
        &self,
        request: Box<Request<Bytes>>,
        credential: &UpstreamCredential,
    ) -> Result<Response<ResponseBody>> {
        match &credential.renewal {
            None => self.send_once(request).await,
            Some(_) => Box::pin(self.send_renewing(request, credential)).await,
        }
    }

    pub(crate) async fn send_once(&self, request: Box<Request<Bytes>>) -> Result<Response<ResponseBody>> {
        let (uri, _) = self.place()?;
        self.client
            .send(&self.server.name, uri, &self.connections, request)
            .await
    }

    fn place(&self) -> Result<&(http::Uri, http::Uri)> {
        let place = self.place.as_ref();
        place.ok_or_else(|| self.failed(Failure::new(FailureKind::Config, "its URL cannot be called")))
    }
}

/// A URL as an address to connect to, and as what the request asks for there.
pub(crate) fn place(url: &url::Url) -> Option<(http::Uri, http::Uri)> {
    let whole: http::Uri = url.as_str().parse().ok()?;
    let target = whole.path_and_query()?.as_str().parse().ok()?;
    Some((whole, target))
}

/// The `Host` of a URL: with its port, unless that is the scheme's own (RFC 9110 7.2).
pub(crate) fn host(url: &url::Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let text = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).ok()
}
