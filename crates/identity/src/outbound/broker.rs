//! The broker of all credential models.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use http::header;
use portolan_core::{
    Caller, Clock, CredentialBroker, CredentialContext, CredentialRefresh, CredentialRefusal, CredentialStore, Error,
    Failure, FailureKind, Install, Precondition, RefreshOptions, Result, Secret, ServerSpec, Source, UpstreamAuth,
    UpstreamCredential, UserId,
};
use url::Url;

use super::{
    authorization::{self, AuthorizationRequest, PendingAuthorization},
    discovery::Discovery,
    error::OAuthError,
    machine::MachineTokens,
    passthrough,
    registration::{ClientIdentity, Registrar},
    renewal::SignIns,
    store::Connections,
    token::revoke,
};
use crate::EgressClient;

/// The page on which an install is connected: the base, with the name of the install as the last segment.
pub type ConnectLink = Url;

/// What the platform says of itself to providers, and where people connect.
///
/// ```
/// use portolan_identity::OAuthConfig;
///
/// let config = OAuthConfig::new("https://mcp.example.com/connect".parse().expect("a URL"));
/// assert_eq!(config.client_name, "Portolan");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OAuthConfig {
    /// The base of the [connect pages](crate::ConnectPages), as browsers reach it.
    pub connect_url: Url,
    /// The name under which the platform registers at providers, which their consent pages show. Default: `Portolan`.
    pub client_name: String,
    /// How refreshes are bounded. Default: a lease of 24 s, a wait of 30 s.
    pub refresh: RefreshOptions,
}

impl OAuthConfig {
    /// Creates a configuration whose connect pages are at `connect_url`.
    pub fn new(connect_url: Url) -> Self {
        let refresh = RefreshOptions::default()
            .with_lease(Duration::from_secs(24))
            .with_wait(Duration::from_secs(30));
        Self {
            connect_url,
            client_name: "Portolan".into(),
            refresh,
        }
    }

    /// Sets the name under which the platform registers.
    #[must_use]
    pub fn with_client_name(mut self, name: impl Into<String>) -> Self {
        self.client_name = name.into();
        self
    }

    /// Sets how refreshes are bounded.
    #[must_use]
    pub fn with_refresh(mut self, refresh: RefreshOptions) -> Self {
        self.refresh = refresh;
        self
    }

    /// Returns the redirect URI at providers.
    pub fn redirect_uri(&self) -> Url {
        below(&self.connect_url, "callback")
    }

    /// Returns the URL of the platform's client id metadata document.
    pub fn client_document(&self) -> Url {
        below(&self.connect_url, "client.json")
    }
}

fn below(base: &Url, segment: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push(segment);
    }
    url
}

/// A [`CredentialBroker`] for each [`UpstreamAuth`].
///
/// - Servers with [`UpstreamAuth::Fields`] are left to the fallback, mostly
///   [`StoredCredentials`](portolan_core::StoredCredentials). Its headers are sent to all other servers, too, except for
///   `Authorization`, which the token replaces.
/// - A token is sent to the server URL that it was got for, and to callers whom the install may serve.
/// - Tokens of people are refreshed in the last fifth of their life (at most 5 minutes ahead), and when a server refuses
///   them: once, over all replicas that share the store. Only `invalid_grant` ends a sign-in. Everything else that a
///   provider does wrong fails the call with "failing for now", and asks nobody to sign in.
/// - A warm answer needs no I/O. A revocation in another replica is seen within a second.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{StoredCredentials, SystemClock, memory::MemoryCredentials};
/// use portolan_identity::{EgressClient, EgressConfig, OAuthBroker, OAuthConfig};
///
/// let store = Arc::new(MemoryCredentials::new());
/// let broker = OAuthBroker::new(
///     OAuthConfig::new("https://mcp.example.com/connect".parse().expect("a URL")),
///     EgressClient::new(EgressConfig::default())?,
///     store.clone(),
///     Arc::new(StoredCredentials::new(store)),
///     Arc::new(SystemClock),
/// );
/// # Ok::<(), portolan_identity::EgressError>(())
/// ```
#[derive(Clone)]
pub struct OAuthBroker {
    config: Arc<OAuthConfig>,
    fallback: Arc<dyn CredentialBroker>,
    sign_ins: Arc<SignIns>,
    machine: Arc<MachineTokens>,
}

impl fmt::Debug for OAuthBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthBroker")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl OAuthBroker {
    /// Creates a broker whose tokens are in `store`.
    pub fn new(
        config: OAuthConfig,
        egress: EgressClient,
        store: Arc<dyn CredentialStore>,
        fallback: Arc<dyn CredentialBroker>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let connections = Connections::new(store);
        let sign_ins = SignIns::new(
            egress.clone(),
            connections.clone(),
            clock.clone(),
            config.connect_url.clone(),
            &config.refresh,
        );
        Self {
            config: Arc::new(config),
            fallback,
            sign_ins: Arc::new(sign_ins),
            machine: Arc::new(MachineTokens::new(egress, connections, clock)),
        }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &OAuthConfig {
        &self.config
    }

    /// Returns where tokens are kept.
    pub fn connections(&self) -> &Connections {
        &self.sign_ins.connections
    }

    /// Returns the page on which an install is connected.
    pub fn link(&self, install: &portolan_core::InstallName) -> ConnectLink {
        self.sign_ins.link(install)
    }

    /// Begins a sign-in to `server` for an install: finds the provider and the client, and says where the browser goes.
    /// `state` comes back with the browser.
    ///
    /// # Errors
    ///
    /// See [`OAuthError`].
    pub async fn authorize(
        &self,
        server: &ServerSpec,
        install: &Install,
        state: &str,
    ) -> Result<AuthorizationRequest, OAuthError> {
        let (UpstreamAuth::AuthorizationCode(options), Source::Remote { url }) = (&server.auth, &server.source) else {
            return Err(OAuthError::Unsupported("nobody signs in to this server".into()));
        };
        let provider = Discovery::new(self.sign_ins.egress.clone())
            .provider(url, options)
            .await?;
        let kept = self.connections().tokens(&install.name).await?;
        let wanted = kept.map(|kept| kept.value.wanted).unwrap_or_default();
        let scopes = authorization::scopes(&provider, &wanted);
        let document = self.config.client_document();
        let identity = ClientIdentity {
            name: self.config.client_name.clone(),
            redirect_uri: self.config.redirect_uri(),
            document: (document.scheme() == "https").then_some(document),
        };
        let registrar = Registrar {
            egress: &self.sign_ins.egress,
            connections: self.connections(),
            identity: &identity,
            now: self.sign_ins.clock.now(),
        };
        let client = registrar
            .client(server, &options.client, &provider.metadata, &scopes)
            .await?;
        let overrides = &options.overrides;
        let knows_issuer = overrides.issuer.is_some() || overrides.authorization_endpoint.is_none();
        AuthorizationRequest::new(&provider, client, url, scopes, knows_issuer, state)
    }

    /// Ends a sign-in: checks the `query` with which the browser has returned, exchanges the code, keeps the tokens and
    /// drops what was cached. The caller has checked that `state` is of this browser and user, and was not used before.
    ///
    /// # Errors
    ///
    /// See [`OAuthError`].
    pub async fn finish(
        &self,
        server: &ServerSpec,
        install: &Install,
        pending: &PendingAuthorization,
        query: &str,
        user: UserId,
    ) -> Result<(), OAuthError> {
        let (sign_ins, connections) = (&self.sign_ins, self.connections());
        let client = connections.with_secret(&server.name, pending.client()).await?;
        let now = sign_ins.clock.now();
        match pending.finish(&sign_ins.egress, &client, query, now, user).await {
            Ok(set) => {
                connections.put_tokens(&install.name, &set, Precondition::None).await?;
                self.forget(install, None);
                Ok(())
            }
            Err(error) => {
                // The next try registers anew.
                if matches!(error, OAuthError::ClientRefused(_)) && client.dynamic {
                    connections.drop_client(&pending.issuer, &client.client_id).await?;
                }
                Err(error)
            }
        }
    }

    /// Disconnects an install: forgets its tokens, and asks the provider to revoke them. Returns `true` if the provider
    /// has said that it did; the tokens are forgotten in any case.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn disconnect(&self, server: &ServerSpec, install: &Install) -> Result<bool> {
        let found = self.connections().tokens(&install.name).await?;
        self.connections().remove_tokens(&install.name).await?;
        self.forget(install, None);
        let Some(set) = found.map(|found| found.value) else {
            return Ok(false);
        };
        let client = self.connections().with_secret(&server.name, &set.client).await?;
        let token = set.refresh_token.as_ref().or(set.access_token.as_ref());
        let (Some(url), Some(token)) = (&set.revocation_endpoint, token) else {
            return Ok(false);
        };
        Ok(revoke(&self.sign_ins.egress, url, token, &client).await)
    }

    async fn machine(&self, context: &CredentialContext<'_>, base: &UpstreamCredential) -> Result<UpstreamCredential> {
        let (server, install, caller) = (context.server, context.install, context.caller);
        let token = self.machine.token(server, &install.name, caller, None).await?;
        let renewal = MachineRenewal {
            machine: Arc::downgrade(&self.machine),
            server: server.clone(),
            install: install.clone(),
            caller: caller.clone(),
            base: base.clone(),
            refused: token.clone(),
        };
        let credential = with_token(base, &token).with_renewal(Arc::new(renewal));
        Ok(if server.auth.is_per_caller() {
            credential.with_scope(format!("caller:{}", caller.subject))
        } else {
            credential
        })
    }
}

fn with_token(base: &UpstreamCredential, token: &Secret) -> UpstreamCredential {
    let mut credential = base.clone();
    credential.headers.retain(|(name, _)| *name != header::AUTHORIZATION);
    credential.with_header(header::AUTHORIZATION, Secret::new(format!("Bearer {}", token.reveal())))
}

#[async_trait]
impl CredentialBroker for OAuthBroker {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        let (server, install, caller) = (context.server, context.install, context.caller);
        if !caller.may_use(&install.owner) {
            return Err(Error::Denied {
                action: "use this install".into(),
            });
        }
        let base = self.fallback.credential(context).await?;
        let credential = match &server.auth {
            UpstreamAuth::Fields => base,
            UpstreamAuth::AuthorizationCode(_) => self.sign_ins.credential(server, install, &base).await?,
            UpstreamAuth::ClientCredentials(_) | UpstreamAuth::TokenExchange(_) => {
                Arc::new(self.machine(context, &base).await?)
            }
            UpstreamAuth::JwtPassthrough { audience } => {
                let Some(token) = passthrough::jwt(caller, audience) else {
                    let message =
                        format!("it is called with the caller's own token, which must be issued for {audience:?}");
                    let failure =
                        Failure::new(FailureKind::Credential, message).remedy("come with a token of this audience");
                    return Err(Error::NotReady {
                        what: "server",
                        name: server.name.to_string(),
                        failure,
                    });
                };
                Arc::new(with_token(&base, &token).with_scope(format!("caller:{}", caller.subject)))
            }
            // A later release's model: nothing is sent that might be wrong.
            _ => return Err(Error::invalid("auth", "is of a kind that this broker does not know")),
        };
        match context.headers {
            Some(headers) if !server.passthrough.is_empty() => {
                let mut credential = UpstreamCredential::clone(&credential);
                passthrough::headers(&mut credential, &server.passthrough, headers);
                Ok(Arc::new(credential))
            }
            _ => Ok(credential),
        }
    }

    fn forget(&self, install: &Install, caller: Option<&Caller>) {
        self.sign_ins.forget(&install.name);
        self.machine.forget(&install.name);
        self.fallback.forget(install, caller);
    }
}

/// Gets another token for one that a server has refused, once.
struct MachineRenewal {
    machine: Weak<MachineTokens>,
    server: ServerSpec,
    install: Install,
    caller: Caller,
    base: UpstreamCredential,
    refused: Secret,
}

impl fmt::Debug for MachineRenewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineRenewal")
            .field("install", &self.install.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialRefresh for MachineRenewal {
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        let (Some(machine), 401) = (self.machine.upgrade(), refusal.status) else {
            return Ok(None);
        };
        let token = machine
            .token(&self.server, &self.install.name, &self.caller, Some(&self.refused))
            .await?;
        let scope = self
            .server
            .auth
            .is_per_caller()
            .then(|| format!("caller:{}", self.caller.subject));
        let credential = with_token(&self.base, &token);
        Ok(Some(Arc::new(match scope {
            Some(scope) => credential.with_scope(scope),
            None => credential,
        })))
    }
}
