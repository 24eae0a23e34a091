//! As whom the suite's server is called: as nobody, until it asks for somebody.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    num::NonZeroU64,
    sync::{Arc, PoisonError, RwLock, Weak},
};

use async_trait::async_trait;
use http::header;
use portolan_core::{
    Caller, CredentialBroker, CredentialContext, CredentialRefresh, CredentialRefusal, Error, Failure, FailureKind,
    Install, Result, Secret, UpstreamCredential, Version,
};
use rmcp::transport::auth::{OAuthClientConfig, WWWAuthenticateParams};
use tokio::sync::Mutex;

use crate::consent;

/// How often a person is asked in all: a server that is never content must not ask for ever (2026-07-28,
/// basic/authorization, step-up).
const CONSENTS: usize = 3;

/// A client that an authorization server knows already.
pub(crate) struct Identity {
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<String>,
    /// The server that knows it, and the only one that is told its secret.
    pub(crate) issuer: String,
}

/// Gets a token by the authorization code grant when the server refuses the one that it was sent.
///
/// There is one caller and one install, so there is one token.
#[derive(Debug)]
pub(crate) struct OAuthBroker(Arc<Grant>);

/// What was granted, and what it takes to ask for more.
struct Grant {
    now: RwLock<Now>,
    /// One asks; who was refused meanwhile waits and takes what that one got.
    asking: Mutex<Asked>,
}

/// What is sent now.
#[derive(Clone)]
struct Now {
    /// How often it has changed.
    edition: u64,
    outbound: Arc<UpstreamCredential>,
}

/// What was asked for so far.
pub(crate) struct Asked {
    pub(crate) identity: Option<Identity>,
    /// Clients that were registered on the way, by the issuer that knows them.
    pub(crate) registered: HashMap<String, OAuthClientConfig>,
    /// Scopes that were asked for or granted: they are asked for again with those that are missing.
    scopes: BTreeSet<String>,
    granted: BTreeSet<String>,
    consents: usize,
}

impl OAuthBroker {
    pub(crate) fn new(identity: Option<Identity>) -> Self {
        Self(Arc::new_cyclic(|grant| Grant {
            now: RwLock::new(Now {
                edition: 0,
                outbound: Arc::new(outbound(0, None, grant.clone())),
            }),
            asking: Mutex::new(Asked {
                identity,
                registered: HashMap::new(),
                scopes: BTreeSet::new(),
                granted: BTreeSet::new(),
                consents: 0,
            }),
        }))
    }
}

#[async_trait]
impl CredentialBroker for OAuthBroker {
    async fn credential(&self, _: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        Ok(self.0.now().outbound)
    }

    fn forget(&self, _: &Install, _: Option<&Caller>) {}
}

/// Another token in the place of that of this edition.
#[derive(Debug)]
struct Another {
    grant: Weak<Grant>,
    edition: u64,
}

#[async_trait]
impl CredentialRefresh for Another {
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        let Some(grant) = self.grant.upgrade() else {
            return Ok(None);
        };
        let mut asked = grant.asking.lock().await;
        let now = grant.now();
        if now.edition != self.edition {
            return Ok(Some(now.outbound));
        }
        let Some(scopes) = asked.scopes_for(refusal) else {
            return Ok(None);
        };
        asked.consents += 1;
        let challenge = refusal.challenges.first().map(|challenge| &**challenge);
        let got = consent::ask(&refusal.url, challenge, &scopes, &mut asked).await;
        let token = got.map_err(|error| not_granted(&error))?;
        asked.scopes.extend(scopes);
        asked.scopes.extend(token.scopes.iter().cloned());
        asked.granted = token.scopes.into_iter().collect();
        let next = Now {
            edition: now.edition + 1,
            outbound: Arc::new(outbound(now.edition + 1, Some(&token.access), self.grant.clone())),
        };
        *grant.now.write().unwrap_or_else(PoisonError::into_inner) = next.clone();
        Ok(Some(next.outbound))
    }
}

impl Asked {
    /// What to ask for after a refusal: empty if the server may say; nothing if there is no point in asking.
    fn scopes_for(&self, refusal: &CredentialRefusal) -> Option<Vec<String>> {
        if self.consents >= CONSENTS {
            return None;
        }
        if refusal.status == 401 {
            // A new token for the same, or the first one.
            return Some(self.scopes.iter().cloned().collect());
        }
        let challenge = refusal.challenges.iter().find_map(|challenge| {
            let challenge = WWWAuthenticateParams::parse(challenge, &refusal.url);
            challenge.is_insufficient_scope().then_some(challenge)
        })?;
        let wanted: BTreeSet<String> = challenge.scope?.split_whitespace().map(str::to_owned).collect();
        // To ask for what is granted already would give the same again.
        let more = !wanted.is_subset(&self.granted);
        more.then(|| self.scopes.union(&wanted).cloned().collect())
    }
}

impl Grant {
    fn now(&self) -> Now {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn outbound(edition: u64, token: Option<&str>, grant: Weak<Grant>) -> UpstreamCredential {
    let mut outbound = UpstreamCredential::none();
    if let Some(token) = token {
        outbound
            .headers
            .push((header::AUTHORIZATION, Secret::new(format!("Bearer {token}"))));
    }
    outbound.version = NonZeroU64::new(edition).map(Version);
    outbound.renewal = Some(Arc::new(Another { grant, edition }));
    outbound
}

fn not_granted(error: &anyhow::Error) -> Error {
    Error::NotReady {
        what: "server",
        name: "suite".into(),
        failure: Failure::new(FailureKind::Credential, "its authorization server gives no token")
            .detail(format!("{error:#}")),
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grant")
    }
}
