//! The HTTP client towards servers.

use std::{
    error::Error as StdError,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use portolan_core::{AuditSink, BoxError, Error, Failure, FailureKind, Result, ServerName};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_service::Service;

use super::connection::{Connection, ConnectionError, Pool, ResponseBody, SendError};
use crate::{config::GatewayConfig, write_yield};

type Secure = HttpsConnector<HttpConnector>;

/// What calls to servers share: configuration, ways to connect, and the short tasks that outlive a call.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) tasks: TaskTracker,
    /// What listens to servers, until it is not wanted or `ended` is cancelled.
    pub(crate) streams: TaskTracker,
    /// Who is told that a server has changed what it is.
    pub(crate) audit: Arc<dyn AuditSink>,
    /// Cancelled when the gateway is gone: ends what would go on for ever.
    pub(crate) ended: CancellationToken,
    plain: HttpConnector,
    /// Made when the first https server is called: the certificates of the machine take a while and a megabyte.
    secure: OnceLock<Result<Secure, String>>,
}

impl Connector {
    pub(crate) fn new(config: Arc<GatewayConfig>, audit: Arc<dyn AuditSink>) -> Self {
        Self {
            plain: tcp(&config),
            config,
            tasks: TaskTracker::new(),
            streams: TaskTracker::new(),
            audit,
            ended: CancellationToken::new(),
            secure: OnceLock::new(),
        }
    }

    /// Sends a request to the server at `uri`, over a connection of `pool` or a new one, and waits for the head of the
    /// answer. Redirects are not followed. What was sent, or partly, is never sent again.
    pub(crate) async fn send(
        &self,
        server: &ServerName,
        uri: &Uri,
        pool: &Arc<Pool>,
        mut request: Box<Request<Bytes>>,
    ) -> Result<Response<ResponseBody>> {
        write_yield::wait(request.body().len()).await;
        while let Some(connection) = pool.take() {
            match connection.send(request, pool).await {
                Ok(response) => return Ok(response),
                // Its server had closed it in the meantime.
                Err(SendError::NotSent(back)) => request = back,
                Err(SendError::Broken(fault)) => return Err(broke_off(server, &fault)),
            }
        }
        let connection = Box::pin(self.connect(uri)).await.map_err(|fault| {
            let root = root(&*fault).to_string();
            unreachable(server, format!("it cannot be reached ({root})"))
        })?;
        pool.sweep_later();
        match connection.send(request, pool).await {
            Ok(response) => Ok(response),
            Err(SendError::NotSent(_)) => Err(unreachable(server, "it cannot be reached (it hangs up)".into())),
            Err(SendError::Broken(fault)) => Err(broke_off(server, &fault)),
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Connection, BoxError> {
        if uri.scheme_str() == Some("https") {
            let secure = self.secure.get_or_init(|| secure(&self.config));
            let mut secure = secure.clone()?;
            return Ok(Connection::over(TokioIo::new(secure.call(uri.clone()).await?)));
        }
        let mut plain = self.plain.clone();
        Ok(Connection::over(plain.call(uri.clone()).await?.into_inner()))
    }
}

fn tcp(config: &GatewayConfig) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(config.timeouts.connect));
    tcp.enforce_http(false);
    tcp
}

fn secure(config: &GatewayConfig) -> Result<Secure, String> {
    // The provider is named, because a host's dependency tree may hold more than one.
    let connector = HttpsConnectorBuilder::new()
        .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
        .map_err(|fault| format!("the certificates of this machine cannot be read ({fault})"))?
        .https_only()
        .enable_http1()
        .wrap_connector(tcp(config));
    Ok(connector)
}

fn unreachable(server: &ServerName, problem: String) -> Error {
    let failure = Failure::new(FailureKind::Connection, problem)
        .remedy("check that it runs and can be reached from here; then try again");
    Error::NotReady {
        what: "server",
        name: server.to_string(),
        failure,
    }
}

fn broke_off(server: &ServerName, fault: &ConnectionError) -> Error {
    unreachable(server, format!("the connection broke off before it answered ({fault})"))
}

/// What is at the bottom of a fault: without the URL, whose path or query may be a secret.
fn root<'a>(fault: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut root = fault;
    while let Some(source) = root.source() {
        root = source;
    }
    root
}
