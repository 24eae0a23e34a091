//! Sends requests: headers, address, and the small requests of the client itself.

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
    /// Sends a message that needs no response.
    pub async fn notify(&self, open: &OpenSession, credential: &UpstreamCredential, text: Bytes) {
        let headers = self.headers_in(open, credential, &HeaderMap::new());
        if let Err(error) = self.exchange(headers, text, credential, "a notification").await {
            tracing::debug!(server = %self.server.name, %error, "notification not sent");
        }
    }

    /// Sends a message in a session that another replica may have opened.
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
            format!("it rejected the client's response (HTTP {})", head.status),
        )))
    }

    /// Asks a server once to log from `level` on. A server without logging responds with an error, which does no harm.
    pub(crate) async fn set_level(&self, open: &OpenSession, credential: &UpstreamCredential, level: LogLevel) {
        if open.level.load(Ordering::Relaxed) == level.number() {
            return;
        }
        let mut params = RawObject::new();
        params.set("level", object::quote(level.as_str()));
        if let Err(error) = session_request(self, open, credential, &Method::SetLevel, &params).await {
            tracing::debug!(server = %self.server.name, %error, "log level not set");
        }
        // Stored only now: a concurrent call sets the level once more, instead of going first.
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

    /// Sends a small request and returns its one response, within the handshake deadline.
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
            // An incomplete response is no evidence, in particular not of a legacy server.
            let limit = self.client.config().limits.held_bytes;
            let other = |notification| self.changes().take(&notification, credential);
            let message = collect::message(&head.headers, body, limit, other).await;
            let message =
                message.ok_or_else(|| self.failed(Failure::new(FailureKind::Connection, "its response broke off")))?;
            Ok((head, message))
        };
        match tokio::time::timeout(after, exchange).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout {
                action: format!("the response of server {:?} to {what}", self.server.name.as_str()),
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
        place.ok_or_else(|| self.failed(Failure::new(FailureKind::Config, "its URL is not valid")))
    }
}

/// Returns the address of a URL and the request target.
pub(crate) fn place(url: &url::Url) -> Option<(http::Uri, http::Uri)> {
    let whole: http::Uri = url.as_str().parse().ok()?;
    let target = whole.path_and_query()?.as_str().parse().ok()?;
    Some((whole, target))
}

/// Returns the `Host` of a URL: with its port, unless that is the default of the scheme (RFC 9110 7.2).
pub(crate) fn host(url: &url::Url) -> Option<HeaderValue> {
    let host = url.host_str()?;
    let text = url
        .port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    HeaderValue::try_from(text).ok()
}
