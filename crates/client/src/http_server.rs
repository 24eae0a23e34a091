//! A server at a URL, and what is sent to it: headers, single requests, the handshake, the GET stream of a session.

pub(crate) mod get_stream;
pub(crate) mod handshake;
pub(crate) mod headers;
pub(crate) mod open_session;
pub(crate) mod probe;
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

use http::StatusCode;
use portolan_core::{Error, Failure, FailureKind, HttpEndpoint, ServerSpec};
use portolan_wire::id::RequestId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::headers::Headers;
use crate::{
    client::Client,
    config::{ClientConfig, ClientLimits, ClientTimeouts},
    eras::EraCache,
    http1::pool::ConnectionPool,
    server_info::ServerInfoCell,
};

/// A server at a URL.
#[derive(Debug)]
pub struct HttpServer {
    pub(crate) server: Arc<ServerSpec>,
    pub(crate) endpoint: HttpEndpoint,
    /// Where it is, and what is asked for there.
    place: Option<(http::Uri, http::Uri)>,
    connections: Arc<ConnectionPool>,
    headers: Headers,
    client: Client,
    /// What the server says of itself, kept for its link.
    info: Arc<ServerInfoCell>,
    pub(crate) eras: EraCache,
    next_id: AtomicU64,
    /// The server has no stream beside its calls.
    no_get_stream: AtomicBool,
}

impl HttpServer {
    pub(crate) fn new(
        server: Arc<ServerSpec>,
        endpoint: HttpEndpoint,
        client: Client,
        info: Arc<ServerInfoCell>,
    ) -> Self {
        Self {
            place: sending::place(&endpoint.url),
            connections: Arc::default(),
            headers: Headers::new(&server, &endpoint.url),
            server,
            endpoint,
            client,
            info,
            eras: EraCache::default(),
            next_id: AtomicU64::new(1),
            no_get_stream: AtomicBool::new(false),
        }
    }

    pub fn endpoint(&self) -> &HttpEndpoint {
        &self.endpoint
    }

    pub(crate) fn config(&self) -> &ClientConfig {
        self.client.config()
    }

    /// What the server says of itself.
    pub(crate) fn info(&self) -> &ServerInfoCell {
        &self.info
    }

    pub(crate) fn limits(&self) -> &ClientLimits {
        &self.client.config().limits
    }

    /// Its entry.
    pub fn server(&self) -> &ServerSpec {
        &self.server
    }

    pub fn tasks(&self) -> &TaskTracker {
        self.client.background()
    }

    pub(crate) fn timeouts(&self) -> &ClientTimeouts {
        &self.client.config().timeouts
    }

    /// How long a question may be open.
    pub fn question_time(&self) -> Duration {
        self.client.config().timeouts.server_request
    }

    /// What listens to servers.
    pub(crate) fn streams(&self) -> &TaskTracker {
        self.client.streams()
    }

    /// Cancelled when the gateway is gone.
    pub fn ended(&self) -> &CancellationToken {
        self.client.ended()
    }

    /// What the gateway calls itself.
    pub(crate) fn client_name(&self) -> &str {
        &self.client.config().name
    }

    /// An id that no other request of this gateway to this server has.
    pub(crate) fn next_id(&self) -> RequestId {
        RequestId::from_u64(self.next_id.fetch_add(1, Ordering::Relaxed))
    }

    /// What a status other than 200 says, where there is nothing else to go by.
    pub(crate) fn refused_with(&self, status: StatusCode) -> Error {
        let cause = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FailureKind::Credential,
            status if status.is_server_error() => FailureKind::Connection,
            _ => FailureKind::Protocol,
        };
        self.failed(Failure::new(cause, format!("it answered with HTTP {status}")))
    }

    pub(crate) fn failed(&self, failure: Failure) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure,
        }
    }

    /// 401 or 403: it is ours to solve, and never told to the client as its own.
    pub(crate) fn unwelcome(&self, status: StatusCode) -> Error {
        self.failed(
            Failure::new(
                FailureKind::Credential,
                format!("it refuses the credential that it was sent (HTTP {status})"),
            )
            .remedy("check the credential of this install"),
        )
    }

    /// Notes that the server has no stream beside its calls. It is not asked for one again, as long as it knows its
    /// sessions.
    pub(crate) fn note_no_get_stream(&self) {
        self.no_get_stream.store(true, Ordering::Relaxed);
    }

    /// The server has forgotten a session: it may be another one now.
    pub(crate) fn note_forgotten(&self) {
        self.no_get_stream.store(false, Ordering::Relaxed);
    }

    pub(crate) fn has_no_get_stream(&self) -> bool {
        self.no_get_stream.load(Ordering::Relaxed)
    }
}
