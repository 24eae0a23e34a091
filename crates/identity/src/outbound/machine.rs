//! Tokens that no person signs in for: client credentials, and exchanges of the caller's token.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use portolan_core::{
    Caller, Clock, Error, Failure, FailureKind, InstallName, OAuthClient, OAuthOptions, Result, Secret, ServerSpec,
    Source, UpstreamAuth,
};
use tokio::sync::Mutex as AsyncMutex;

use super::{
    client::RegisteredClient,
    discovery::Discovery,
    error::OAuthError,
    exchange::exchange,
    store::{Connections, sha256},
    token::{Granted, TokenEndpoint},
};
use crate::EgressClient;

/// The most tokens that are kept; beyond them, each call asks for one.
const MAX_KEPT: usize = 10_000;
/// How long a token without a lifetime is kept.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// How long a failure is remembered, so that many callers do not wait for a silent provider one after another.
const FAILURE_LIFE: Duration = Duration::from_secs(2);

/// The install, and the digest of the caller's token where it is exchanged.
type Key = (InstallName, Option<String>);

/// Gets tokens and keeps each to half of its life. They are kept in memory only.
#[derive(Debug)]
pub(super) struct MachineTokens {
    egress: EgressClient,
    connections: Connections,
    clock: Arc<dyn Clock>,
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    /// The end of what is kept, for eviction.
    until: Mutex<Instant>,
    kept: AsyncMutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    /// The settings that it was got by: changed ones get another.
    auth: UpstreamAuth,
    until: Instant,
    token: Result<Secret>,
}

impl MachineTokens {
    pub(super) fn new(egress: EgressClient, connections: Connections, clock: Arc<dyn Clock>) -> Self {
        Self {
            egress,
            connections,
            clock,
            slots: Mutex::default(),
        }
    }

    /// Returns the token for a request, other than `refused`.
    pub(super) async fn token(
        &self,
        server: &ServerSpec,
        install: &InstallName,
        caller: &Caller,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let subject = match &server.auth {
            UpstreamAuth::TokenExchange(options) => Some(subject(caller, options.subject_issuer.as_deref(), server)?),
            _ => None,
        };
        let slot = self.slot((*install, subject.map(|token| sha256(token.reveal()))));
        let mut kept = slot.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.auth == server.auth
            && kept.until > Instant::now()
            && !matches!((&kept.token, refused), (Ok(token), Some(refused)) if token == refused)
        {
            return kept.token.clone();
        }
        let got = self.get(server, subject).await;
        let life = match &got {
            Ok(granted) => granted
                .expires_in
                .map_or(DEFAULT_LIFE, |seconds| Duration::from_secs(seconds) / 2),
            Err(_) => FAILURE_LIFE,
        };
        // A caller's token that ends takes what was exchanged for it along.
        let own = caller.expires.filter(|_| subject.is_some());
        let own = own.and_then(|end| Duration::try_from(end.duration_since(self.clock.now())).ok());
        let until = Instant::now() + own.map_or(life, |own| own.min(life));
        let token = got
            .map(|granted| granted.access_token)
            .map_err(|error| error.into_error(server.name.as_str()));
        *slot.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        *kept = Some(Kept {
            auth: server.auth.clone(),
            until,
            token: token.clone(),
        });
        token
    }

    /// Drops what is kept for an install.
    pub(super) fn forget(&self, install: &InstallName) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|(name, _), _| name != install);
    }

    fn slot(&self, key: Key) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&key) {
            return slot.clone();
        }
        let now = Instant::now();
        if slots.len() >= MAX_KEPT {
            slots.retain(|_, slot| *slot.until.lock().unwrap_or_else(PoisonError::into_inner) > now);
        }
        let slot = Arc::new(Slot {
            until: Mutex::new(now + DEFAULT_LIFE),
            kept: AsyncMutex::default(),
        });
        if slots.len() < MAX_KEPT {
            slots.insert(key, slot.clone());
        }
        slot
    }

    async fn get(&self, server: &ServerSpec, subject: Option<&Secret>) -> Result<Granted, OAuthError> {
        match (&server.auth, subject) {
            (UpstreamAuth::TokenExchange(options), Some(subject)) => {
                exchange(&self.egress, &self.connections, &server.name, options, subject).await
            }
            (UpstreamAuth::ClientCredentials(options), _) => {
                let audience = options.audience.clone().map(|audience| ("audience", audience));
                self.client_credentials(server, &options.oauth, audience).await
            }
            _ => Err(OAuthError::Unsupported("the server needs no token".into())),
        }
    }

    async fn client_credentials(
        &self,
        server: &ServerSpec,
        options: &OAuthOptions,
        audience: Option<(&'static str, String)>,
    ) -> Result<Granted, OAuthError> {
        let (OAuthClient::PreRegistered { client_id, method }, Source::Remote { url: server_url }) =
            (&options.client, &server.source)
        else {
            return Err(OAuthError::Unsupported(
                "client credentials need a pre-registered client and a remote server".into(),
            ));
        };
        let mut options = options.clone();
        // No person signs in, so there is no code to protect and no page.
        options.overrides.assume_pkce = true;
        let endpoint = options.overrides.token_endpoint.clone();
        if let (Some(token), None) = (&endpoint, &options.overrides.authorization_endpoint) {
            options.overrides.authorization_endpoint = Some(token.clone());
        }
        let provider = Discovery::new(self.egress.clone())
            .provider(server_url, &options)
            .await?;
        let url = endpoint.or(provider.metadata.token_endpoint);
        let url = url.ok_or_else(|| OAuthError::Discovery("the provider has no token endpoint; set it".into()))?;
        let secret = self
            .connections
            .server_secret(&server.name, OAuthClient::SECRET)
            .await?;
        let client = RegisteredClient::new(client_id, secret, *method);
        let endpoint = TokenEndpoint {
            egress: &self.egress,
            url: &url,
            client: &client,
        };
        let resource = provider.resource.map(|resource| ("resource", resource));
        let extra: Vec<_> = resource.into_iter().chain(audience).collect();
        endpoint.client_credentials(&provider.scopes, &extra).await
    }
}

/// Returns the caller's token, if it may be exchanged.
fn subject<'a>(caller: &'a Caller, issuer: Option<&str>, server: &ServerSpec) -> Result<&'a Secret> {
    let fits = issuer.is_none() || caller.issuer.as_deref() == issuer;
    match &caller.token {
        Some(token) if fits => Ok(token),
        _ => {
            let failure = Failure::new(
                FailureKind::Credential,
                "it is called with the caller's own token, and this \
                 request came with none that can be exchanged",
            )
            .remedy("sign in to the gateway by the identity provider that the server belongs to");
            Err(Error::NotReady {
                what: "server",
                name: server.name.to_string(),
                failure,
            })
        }
    }
}
