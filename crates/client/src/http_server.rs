//! A server at a URL: headers, single requests, the handshake, the GET stream of a session.

pub(crate) mod era_detection;
pub(crate) mod forgotten;
pub(crate) mod get_stream;
pub(crate) mod handshake;
pub(crate) mod headers;
pub(crate) mod open_session;
pub(crate) mod refresh;
pub(crate) mod resumed_stream;
pub(crate) mod sending;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, StatusCode, header};
use portolan_core::{Error, Failure, FailureKind, HttpEndpoint, ServerSpec};
use portolan_wire::id::RequestId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::headers::Headers;
use crate::{
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts},
    era_cache::EraCache,
    http1::pool::ConnectionPool,
    server_info::ServerInfoCell,
    server_notifications::ChangeSinkCell,
};

/// A server at a URL. A [`SessionStreamReader`](crate::SessionStreamReader) gets one.
#[derive(Debug)]
pub struct HttpServer {
    pub(crate) server: Arc<ServerSpec>,
    pub(crate) endpoint: HttpEndpoint,
    /// The address to connect to, and the request target.
    place: Option<(http::Uri, http::Uri)>,
    connections: Arc<ConnectionPool>,
    headers: Headers,
    client: Client,
    /// The information of the server about itself, shared with its [`UpstreamServer`](crate::UpstreamServer).
    info: Arc<ServerInfoCell>,
    /// What takes the changes that the server announces on the streams of requests.
    changes: Arc<ChangeSinkCell>,
    pub(crate) eras: EraCache,
    next_id: AtomicU64,
    /// `true` if the server has no GET stream.
    no_get_stream: AtomicBool,
}

impl HttpServer {
    pub(crate) fn new(
        server: Arc<ServerSpec>,
        endpoint: HttpEndpoint,
        client: Client,
        info: Arc<ServerInfoCell>,
        changes: Arc<ChangeSinkCell>,
    ) -> Self {
        Self {
            place: sending::place(&endpoint.url),
            connections: Arc::default(),
            headers: Headers::new(&server, &endpoint.url),
            server,
            endpoint,
            client,
            info,
            changes,
            eras: EraCache::default(),
            next_id: AtomicU64::new(1),
            no_get_stream: AtomicBool::new(false),
        }
    }

    /// Returns the endpoint.
    pub fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.client.config()
    }

    /// Returns the information of the server about itself.
    pub(crate) fn info(&self) -> &ServerInfoCell {
        &self.info
    }

    /// Returns what takes the changes that the server announces on the streams of requests.
    pub(crate) fn changes(&self) -> &ChangeSinkCell {
        &self.changes
    }

    pub(crate) fn limits(&self) -> &ClientLimits {
        &self.client.config().limits
    }

    /// Returns the catalogue entry.
    pub fn server(&self) -> &ServerSpec {
        &self.server
    }

    /// Returns the tracker of short work that outlives a call.
    pub fn tasks(&self) -> &TaskTracker {
        self.client.background()
    }

    pub(crate) fn timeouts(&self) -> &ClientTimeouts {
        &self.client.config().timeouts
    }

    /// Returns the longest time that a server's request may stay open.
    pub fn question_time(&self) -> Duration {
        self.client.config().timeouts.server_request
    }

    /// Returns the tracker of the tasks that follow servers.
    pub(crate) fn streams(&self) -> &TaskTracker {
        self.client.streams()
    }

    /// Returns the token that is cancelled when the client ends.
    pub fn ended(&self) -> &CancellationToken {
        self.client.ended()
    }

    /// Returns the name in `clientInfo`.
    pub(crate) fn client_name(&self) -> &str {
        &self.client.config().name
    }

    /// Returns an id that no other request of this client to this server has.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::from_u64(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// Returns the error of a status without a usable body.
    pub(crate) fn refused_with(&self, status: StatusCode) -> Error {
        let cause = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Credential,
            status if status.is_server_error() => FailureKind::Connection,
            _ => FailureKind::Protocol,
        };
        self.failed(Failure::new(cause, format!("it responded with HTTP {status}")))
    }

    /// Returns the error of a redirect, which is not followed: the credential is for this address.
    pub(crate) fn redirected(&self, status: StatusCode, headers: &HeaderMap) -> Error {
        let to = headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| self.endpoint.url.join(to).ok()).map(|mut to| {
            // What may be a secret.
            to.set_query(None);
            to.set_fragment(None);
            let _ = (to.set_username(""), to.set_password(None));
            format!(" to {to}")
        });
        let problem = format!(
            "it redirects{} (HTTP {status}), which is not followed",
            to.unwrap_or_default()
        );
        self.failed(Failure::new(FailureKind::Config, problem).remedy("give the server's final URL"))
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure,
        }
    }

    /// Returns the error of a 401 or 403. The client has to solve it; its own caller never sees the status.
    pub(crate) fn unwelcome(&self, status: StatusCode) -> Error {
        self.failed(
            Failure::new(
                FailureKind::Credential,
                format!("it refused the credential (HTTP {status})"),
            )
            .remedy("check the credential of this install"),
        )
    }

    /// Records that the server has no GET stream. It is not asked again while it knows its sessions.
    pub(crate) fn note_no_get_stream(&self) {
        self.no_get_stream.store(true, Ordering::Relaxed);
    }

    /// Records that the server has forgotten a session: it may have been replaced.
    pub(crate) fn note_forgotten(&self) {
        self.no_get_stream.store(false, Ordering::Relaxed);
        self.changes.restarted();
    }

    pub(crate) fn has_no_get_stream(&self) -> bool {
        self.no_get_stream.load(Ordering::Relaxed)
    }
}
