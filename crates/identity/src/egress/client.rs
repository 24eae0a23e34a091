//! The client.

use std::{net::SocketAddr, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use portolan_core::BoxError;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::{address::is_public, config::EgressConfig, error::EgressError};

/// Sends HTTP requests to URLs that strangers choose.
///
/// - It connects to public addresses alone, except for the [allowed hosts](EgressConfig::allow_host). It checks the
///   address that it connects to, so a name that changes its address meanwhile does not pass.
/// - It speaks `https`; `http` to allowed hosts only.
/// - It follows no redirect: a 3xx comes back as it is. It uses no proxy of the environment, no cookies, no compression.
/// - It bounds the time of a request and the size of its answer.
///
/// ```no_run
/// # async fn f() -> Result<(), portolan_identity::EgressError> {
/// use bytes::Bytes;
/// use portolan_identity::{EgressClient, EgressConfig};
///
/// let client = EgressClient::new(EgressConfig::default())?;
/// let request = http::Request::get("https://id.example.com/.well-known/openid-configuration")
///     .body(Bytes::new())
///     .expect("a request");
/// let response = client.send(request).await?;
/// println!("{} with {} bytes", response.status(), response.body().len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct EgressClient {
    config: Arc<EgressConfig>,
    client: reqwest::Client,
}

impl EgressClient {
    /// Creates a client that trusts the certificate authorities of the operating system.
    ///
    /// # Errors
    ///
    /// [`EgressError::Setup`] if TLS cannot be set up.
    pub fn new(config: EgressConfig) -> Result<Self, EgressError> {
        let config = Arc::new(config);
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(config.timeout)
            .dns_resolver(Arc::new(PublicResolver { config: config.clone() }))
            .build()
            .map_err(|error| EgressError::Setup(error.into()))?;
        Ok(Self { config, client })
    }

    /// Returns what the client may reach, and its bounds.
    pub fn config(&self) -> &EgressConfig {
        &self.config
    }

    /// Checks that `url` may be requested, as far as that shows without resolving its host.
    ///
    /// # Errors
    ///
    /// [`EgressError::Url`] or [`EgressError::Private`].
    pub fn check(&self, url: &Url) -> Result<(), EgressError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let allowed = self.config.is_allowed(&host);
        let refuse = |problem| EgressError::Url {
            host: host.clone(),
            problem,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse(
                "a user name or password in it would reach logs; send credentials in a header",
            ));
        }
        match url.scheme() {
            "https" => {}
            "http" if allowed => {}
            "http" => return Err(refuse("use https, or allow the host with EgressConfig::allow_host")),
            _ => return Err(refuse("use https")),
        }
        let public = match url.host() {
            None => return Err(refuse("it has no host")),
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => is_public(address.into()),
            Some(Host::Ipv6(address)) => is_public(address.into()),
        };
        if !public && !allowed {
            return Err(EgressError::Private { host });
        }
        Ok(())
    }

    /// Sends a request and reads the whole answer, of any status.
    ///
    /// # Errors
    ///
    /// [`EgressError`], of each kind but [`EgressError::Setup`].
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, EgressError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| EgressError::Url {
            host: request.uri().host().unwrap_or_default().to_owned(),
            problem: "it is not an absolute URL",
        })?;
        self.check(&url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let request = request.map(reqwest::Body::from);
        let request = reqwest::Request::try_from(request).map_err(|error| self.failure(&host, error))?;
        let mut answer = self
            .client
            .execute(request)
            .await
            .map_err(|error| self.failure(&host, error))?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failure(&host, error))? {
            if body.len() + chunk.len() > self.config.max_body {
                return Err(EgressError::TooLong {
                    host,
                    max: self.config.max_body,
                });
            }
            body.extend_from_slice(&chunk);
        }
        *response.body_mut() = body.freeze();
        Ok(response)
    }

    fn failure(&self, host: &str, error: reqwest::Error) -> EgressError {
        let host = host.to_owned();
        if error.is_timeout() {
            return EgressError::Timeout {
                host,
                within: self.config.timeout,
            };
        }
        let mut cause: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = cause {
            if error.is::<NotPublic>() {
                return EgressError::Private { host };
            }
            cause = error.source();
        }
        EgressError::Connect {
            host,
            source: error.without_url().into(),
        }
    }
}

/// Resolves names to public addresses alone, except for allowed hosts.
#[derive(Debug)]
struct PublicResolver {
    config: Arc<EgressConfig>,
}

/// A name has no public address.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
struct NotPublic;

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.config.is_allowed(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let mut addresses: Vec<SocketAddr> = found.collect();
            if !allowed {
                addresses.retain(|address| is_public(address.ip()));
                if addresses.is_empty() {
                    return Err(BoxError::from(NotPublic));
                }
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}
