//! The HTTP client towards servers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use portolan_core::{Cause, Error, Failure, Result, ServerName};
use tokio_util::task::TaskTracker;

use crate::config::GatewayConfig;

type Plain = Client<HttpConnector, Full<Bytes>>;
type Secure = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What calls to servers share: connections, configuration, and the short tasks that outlive a call.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) config: Arc<GatewayConfig>,
    pub(crate) tasks: TaskTracker,
    plain: Plain,
    /// Made when the first https server is called: the certificates of the machine take a while and a megabyte.
    secure: OnceLock<Result<Secure, String>>,
}

impl Connector {
    pub(crate) fn new(config: Arc<GatewayConfig>) -> Self {
        let plain = pool().build(tcp(&config));
        Self {
            config,
            tasks: TaskTracker::new(),
            plain,
            secure: OnceLock::new(),
        }
    }

    /// Sends a request and waits for the head of the answer. Redirects are not followed.
    pub(crate) async fn send(&self, server: &ServerName, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let sent = if request.uri().scheme_str() == Some("https") {
            match self.secure.get_or_init(|| secure(&self.config)) {
                Ok(client) => client.request(request).await,
                Err(problem) => return Err(unreachable(server, problem.clone())),
            }
        } else {
            self.plain.request(request).await
        };
        sent.map_err(|fault| unreachable(server, describe(&fault)))
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
    Ok(pool().build(connector))
}

fn pool() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .pool_max_idle_per_host(256);
    builder
}

fn unreachable(server: &ServerName, problem: String) -> Error {
    let failure = Failure::new(Cause::Connection, problem)
        .remedy("check that it runs and can be reached from here; then try again");
    Error::NotReady {
        what: "server",
        name: server.to_string(),
        failure,
    }
}

/// Why a request failed, without the URL: a path or query may be a secret.
fn describe(fault: &ClientError) -> String {
    let mut root: &dyn std::error::Error = fault;
    while let Some(source) = root.source() {
        root = source;
    }
    if fault.is_connect() {
        format!("it cannot be reached ({root})")
    } else {
        format!("the connection broke off before it answered ({root})")
    }
}
