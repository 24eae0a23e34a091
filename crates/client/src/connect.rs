//! Opens connections to servers: a host may hand in its own way.

use std::{fmt::Debug, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use portolan_core::BoxError;
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// A byte stream to a server.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections to servers.
///
/// Implement it for a proxy, for a network that is not TCP, or for TLS of another kind; [`TcpConnect`] is the default.
///
/// # Contract
///
/// - A connection to an `https` URI is encrypted, and the server's certificate is verified for the URI's host.
/// - The connection speaks HTTP/1.1.
/// - A failure is not remembered: the next call tries again.
/// - No part of the URI beyond host and port stands in the error.
///
/// ```
/// use portolan_client::{BoxError, Connect, Io, TcpConnect, Uri};
///
/// /// Sends everything to one address, whatever the URI says.
/// #[derive(Debug)]
/// struct ToOneAddress(std::net::SocketAddr);
///
/// #[async_trait::async_trait]
/// impl Connect for ToOneAddress {
///     async fn connect(&self, _: &Uri) -> Result<Box<dyn Io>, BoxError> {
///         Ok(Box::new(tokio::net::TcpStream::connect(self.0).await?))
///     }
/// }
/// ```
#[async_trait]
pub trait Connect: Debug + Send + Sync {
    /// Opens a connection to the host and port of `uri`.
    ///
    /// # Errors
    ///
    /// Why the connection cannot be opened.
    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Io>, BoxError>;
}

type Tls = HttpsConnector<HttpConnector>;

/// Connects by TCP, with rustls for `https`.
///
/// It trusts the certificates of the machine unless it is [given a configuration](Self::with_tls).
#[derive(Debug)]
pub struct TcpConnect {
    tcp: HttpConnector,
    /// Made when the first `https` server is called: reading the machine's certificates takes a while and a megabyte. Only
    /// success is kept.
    tls: ArcSwapOption<Tls>,
}

impl TcpConnect {
    /// Connects within `timeout`.
    ///
    /// ```
    /// use std::time::Duration;
    /// let connect = portolan_client::TcpConnect::new(Duration::from_secs(10));
    /// ```
    pub fn new(timeout: Duration) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(timeout));
        tcp.enforce_http(false);
        Self { tcp, tls: None.into() }
    }

    /// Uses `config` for `https`: roots of a private certificate authority, a client certificate.
    #[must_use]
    pub fn with_tls(self, config: rustls::ClientConfig) -> Self {
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .enable_http1()
            .wrap_connector(self.tcp.clone());
        self.tls.store(Some(Arc::new(tls)));
        self
    }

    fn tls(&self) -> Result<Arc<Tls>, BoxError> {
        if let Some(known) = self.tls.load_full() {
            return Ok(known);
        }
        // The provider is named, because a host's dependency tree may hold more than one.
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .map_err(|error| format!("the certificates of this machine cannot be read ({error})"))?
            .https_only()
            .enable_http1()
            .wrap_connector(self.tcp.clone());
        let tls = Arc::new(tls);
        self.tls.store(Some(tls.clone()));
        Ok(tls)
    }
}

#[async_trait]
impl Connect for TcpConnect {
    async fn connect(&self, uri: &Uri) -> Result<Box<dyn Io>, BoxError> {
        if uri.scheme_str() == Some("https") {
            let mut tls = Tls::clone(&*self.tls()?);
            return Ok(Box::new(TokioIo::new(tls.call(uri.clone()).await?)));
        }
        let mut tcp = self.tcp.clone();
        Ok(Box::new(tcp.call(uri.clone()).await?.into_inner()))
    }
}
