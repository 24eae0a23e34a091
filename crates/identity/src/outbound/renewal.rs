//! The tokens of people who signed in: read, sent, refreshed ahead of time and when a server refuses them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak, atomic::Ordering},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use http::header;
use portolan_core::{
    Clock, CredentialRefresh, CredentialRefusal, Error, ExchangeError, Failure, FailureAction, FailureKind, Install,
    InstallName, Precondition, RefreshError, RefreshGuard, RefreshOptions, Result, Secret, ServerSpec, Source,
    UpstreamCredential, Version, Versioned,
};
use url::Url;

use super::{
    challenge::BearerChallenge,
    error::OAuthError,
    slot::{Known, Slot, lock},
    store::{Connections, token_key},
    token::TokenEndpoint,
    token_set::TokenSet,
};
use crate::EgressClient;

/// How long what was read is used without a look at the store.
const FRESH: Duration = Duration::from_millis(500);
/// How long it is used while the store is read in the background: the longest that a revocation in another replica takes.
const STALE: Duration = Duration::from_secs(1);
/// How long a failed refresh is not tried again, so that many callers do not wait for a silent provider one after another.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a refresh ahead of time that failed is not tried again.
const AHEAD_PAUSE: Duration = Duration::from_secs(15);
/// How young a token is that a server must not refuse: a refresh would give no better one.
const YOUNG: Duration = Duration::from_secs(5);
/// The most installs whose tokens are cached.
const MAX_CACHED: usize = 10_000;

/// The tokens of the installs whose owners signed in.
#[derive(Debug)]
pub(super) struct SignIns {
    pub(super) egress: EgressClient,
    pub(super) connections: Connections,
    pub(super) clock: Arc<dyn Clock>,
    /// The base of connect pages.
    link: Url,
    /// Refreshes ahead of time: never spends a token twice, because the access token is still good.
    ahead: RefreshGuard,
    /// Refreshes what has ended: tries again after an exchange without an outcome, because there is nothing to lose.
    needed: RefreshGuard,
    slots: Mutex<HashMap<InstallName, Arc<Slot>>>,
}

impl SignIns {
    pub(super) fn new(
        egress: EgressClient,
        connections: Connections,
        clock: Arc<dyn Clock>,
        link: Url,
        options: &RefreshOptions,
    ) -> Self {
        let guard = |options: RefreshOptions| RefreshGuard::new(connections.store().clone(), clock.clone(), options);
        // Only a provider knows whether a token is spent, so it is asked, however long ago the last try was.
        let forever = Duration::from_secs(10 * 365 * 86_400);
        Self {
            ahead: guard(options.clone()),
            needed: guard(options.clone().with_reuse_within(forever)),
            egress,
            connections,
            clock,
            link,
            slots: Mutex::default(),
        }
    }

    /// Returns `base` with the access token of the install.
    pub(super) async fn credential(
        self: &Arc<Self>,
        server: &ServerSpec,
        install: &Install,
        base: &Arc<UpstreamCredential>,
    ) -> Result<Arc<UpstreamCredential>> {
        let slot = self.slot(&install.name);
        let Some(mut known) = self.known(&slot, &install.name).await? else {
            return Err(self.connect(server, install));
        };
        self.check(&known.set, server, install)?;
        let now = self.clock.now();
        if known.set.is_expired_at(now) {
            known = self.renew(&slot, server, install, &known).await?;
            self.check(&known.set, server, install)?;
        } else if known.set.is_due_at(now) {
            self.renew_ahead(&slot, server, install, &known);
        }
        Ok(self.make(&known, server, install, base))
    }

    /// Drops what is cached for an install.
    pub(super) fn forget(&self, install: &InstallName) {
        let slot = lock(&self.slots).get(install).cloned();
        if let Some(slot) = slot {
            slot.forgotten.fetch_add(1, Ordering::SeqCst);
            *lock(&slot.known) = None;
            *lock(&slot.failure) = None;
        }
    }

    /// Returns the page on which an install is connected.
    pub(super) fn link(&self, install: &InstallName) -> Url {
        let mut url = self.link.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(&install.to_string());
        }
        url
    }

    fn slot(&self, install: &InstallName) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(install) {
            return slot.clone();
        }
        if slots.len() >= MAX_CACHED {
            let old = |slot: &Slot| {
                lock(&slot.known)
                    .as_ref()
                    .is_none_or(|(read, _)| read.elapsed() > STALE)
            };
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || !old(slot));
        }
        let slot = Arc::<Slot>::default();
        if slots.len() < MAX_CACHED {
            slots.insert(*install, slot.clone());
        }
        slot
    }

    async fn known(self: &Arc<Self>, slot: &Arc<Slot>, install: &InstallName) -> Result<Option<Arc<Known>>> {
        let cached = lock(&slot.known).clone();
        if let Some((read, known)) = cached {
            let age = read.elapsed();
            if age < FRESH {
                return Ok(Some(known));
            }
            if age < STALE {
                if !slot.reading.swap(true, Ordering::SeqCst) {
                    let (this, slot, install) = (self.clone(), slot.clone(), *install);
                    tokio::spawn(async move {
                        if let Err(error) = this.read(&slot, &install).await {
                            tracing::debug!(%error, "a sign-in was not read");
                        }
                        slot.reading.store(false, Ordering::SeqCst);
                    });
                }
                return Ok(Some(known));
            }
        }
        self.read(slot, install).await
    }

    async fn read(&self, slot: &Slot, install: &InstallName) -> Result<Option<Arc<Known>>> {
        let (begun, forgotten) = (Instant::now(), slot.forgotten.load(Ordering::SeqCst));
        let found = self.connections.tokens(install).await?;
        let mut cached = lock(&slot.known);
        let Some(found) = found else {
            *cached = None;
            return Ok(None);
        };
        // The same version is the same set: the credential that was made of it stays.
        let known = match &*cached {
            Some((_, known)) if known.version == found.version => known.clone(),
            _ => Known::new(found),
        };
        if slot.forgotten.load(Ordering::SeqCst) == forgotten {
            *cached = Some((begun, known.clone()));
        }
        Ok(Some(known))
    }

    /// Refuses what must not be sent.
    fn check(&self, set: &TokenSet, server: &ServerSpec, install: &Install) -> Result<()> {
        if !matches!(&server.source, Source::Remote { url } if *url == set.server) {
            return Err(self.again(server, install, "its URL has changed since the sign-in"));
        }
        match &set.revoked {
            Some(reason) => Err(self.again(server, install, reason)),
            None => Ok(()),
        }
    }

    fn make(
        self: &Arc<Self>,
        known: &Arc<Known>,
        server: &ServerSpec,
        install: &Install,
        base: &Arc<UpstreamCredential>,
    ) -> Arc<UpstreamCredential> {
        let mut made = lock(&known.made);
        if let Some((of, credential)) = &*made
            && Arc::ptr_eq(of, base)
        {
            return credential.clone();
        }
        let token = known.set.access_token.as_ref().map_or("", Secret::reveal);
        let mut credential = UpstreamCredential::clone(base);
        credential.headers.retain(|(name, _)| *name != header::AUTHORIZATION);
        let credential = credential
            .with_header(header::AUTHORIZATION, Secret::new(format!("Bearer {token}")))
            .with_version(known.version)
            .with_renewal(Arc::new(Renewal {
                owner: Arc::downgrade(self),
                server: server.clone(),
                install: install.clone(),
                base: base.clone(),
                used: known.version,
            }));
        let credential = Arc::new(credential);
        *made = Some((base.clone(), credential.clone()));
        credential
    }

    fn renew_ahead(self: &Arc<Self>, slot: &Arc<Slot>, server: &ServerSpec, install: &Install, known: &Arc<Known>) {
        let paused = lock(&slot.ahead_failed).is_some_and(|at| at.elapsed() < AHEAD_PAUSE);
        if paused || slot.ahead.swap(true, Ordering::SeqCst) {
            return;
        }
        let (this, slot, server, install, known) = (
            self.clone(),
            slot.clone(),
            server.clone(),
            install.clone(),
            known.clone(),
        );
        tokio::spawn(async move {
            let _turn = slot.renewing.lock().await;
            let result = this.refresh(&this.ahead, &slot, &server, &install, &known).await;
            if let Err(error) = result {
                tracing::info!(install = %install.name, %error, "a sign-in was not refreshed ahead of time");
                *lock(&slot.ahead_failed) = Some(Instant::now());
            }
            slot.ahead.store(false, Ordering::SeqCst);
        });
    }

    /// Refreshes tokens that cannot be used as they are: once for all callers, in all replicas.
    async fn renew(&self, slot: &Slot, server: &ServerSpec, install: &Install, used: &Known) -> Result<Arc<Known>> {
        let _turn = slot.renewing.lock().await;
        let cached = lock(&slot.known).clone();
        if let Some((_, known)) = cached.filter(|(_, known)| known.version != used.version) {
            return Ok(known);
        }
        let failed = lock(&slot.failure).clone();
        if let Some((at, version, error)) = failed
            && version == used.version
            && at.elapsed() < PAUSE
        {
            return Err(error);
        }
        let result = self.refresh(&self.needed, slot, server, install, used).await;
        *lock(&slot.failure) = result
            .as_ref()
            .err()
            .map(|error| (Instant::now(), used.version, error.clone()));
        result
    }

    async fn refresh(
        &self,
        guard: &RefreshGuard,
        slot: &Slot,
        server: &ServerSpec,
        install: &Install,
        used: &Known,
    ) -> Result<Arc<Known>> {
        if !used.set.has_refresh_token() {
            return Err(self.again(
                server,
                install,
                "the sign-in has ended, and the provider gave nothing to renew it with",
            ));
        }
        let client = self.connections.with_secret(&server.name, &used.set.client).await?;
        let (egress, clock) = (self.egress.clone(), self.clock.clone());
        let refused = Arc::new(Mutex::new(None::<OAuthError>));
        let told = refused.clone();
        let name = server.name.clone();
        let exchange = move |secret: Secret| async move {
            let unreadable = || ExchangeError::Unspent(Error::invalid("the sign-in", "cannot be read; sign in again"));
            let set = TokenSet::from_secret(&secret).ok_or_else(unreadable)?;
            let token = set.refresh_token.clone().ok_or_else(unreadable)?;
            let endpoint = TokenEndpoint {
                egress: &egress,
                url: &set.token_endpoint,
                client: &client,
            };
            match endpoint.refresh(&token, set.resource.as_deref()).await {
                Ok(granted) => Ok(set.renewed(granted, clock.now()).to_secret()),
                Err(OAuthError::Revoked(message)) => Err(ExchangeError::Refused { message }),
                Err(error @ OAuthError::Failing { maybe_done: true, .. }) => {
                    Err(ExchangeError::Unknown(error.into_error(name.as_str())))
                }
                Err(OAuthError::ClientRefused(message)) => {
                    *lock(&told) = Some(OAuthError::ClientRefused(message.clone()));
                    Err(ExchangeError::Unspent(
                        OAuthError::ClientRefused(message).into_error(name.as_str()),
                    ))
                }
                Err(error) => Err(ExchangeError::Unspent(error.into_error(name.as_str()))),
            }
        };
        let result = guard.refresh(&token_key(&install.name)?, used.version, exchange).await;
        let error = match result {
            Ok(found) => return self.keep(slot, server, install, found),
            Err(error) => error,
        };
        let client_refused = lock(&refused).take().is_some();
        self.not_renewed(slot, server, install, used, error, client_refused)
            .await
    }

    /// Returns what a caller is told after a refresh that gave nothing.
    async fn not_renewed(
        &self,
        slot: &Slot,
        server: &ServerSpec,
        install: &Install,
        used: &Known,
        error: RefreshError,
        client_refused: bool,
    ) -> Result<Arc<Known>> {
        match error {
            RefreshError::Refused { message } => Err(self.end(slot, server, install, used, &message).await),
            RefreshError::Missing => Err(self.connect(server, install)),
            // The provider has forgotten a client that registered itself: its tokens are gone with it.
            RefreshError::Failed(_) if client_refused && used.set.client.dynamic => {
                let set = &used.set;
                self.connections.drop_client(&set.issuer, &set.client.client_id).await?;
                let reason = "the provider has forgotten the registration of this platform";
                Err(self.end(slot, server, install, used, reason).await)
            }
            RefreshError::Failed(error @ Error::Timeout { .. }) => Err(failing(server, &error.to_string())),
            RefreshError::Failed(error) => Err(error),
            // Only the provider knows whether the token is spent: it is asked again, and nobody signs in for nothing.
            _ => Err(failing(server, "the provider has not answered the renewal")),
        }
    }

    fn keep(
        &self,
        slot: &Slot,
        server: &ServerSpec,
        install: &Install,
        found: Versioned<Secret>,
    ) -> Result<Arc<Known>> {
        let set = TokenSet::from_secret(&found.value).ok_or_else(|| self.connect(server, install))?;
        let known = Known::new(Versioned {
            value: set,
            version: found.version,
        });
        *lock(&slot.known) = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// Records that only a new sign-in helps, unless there is one already.
    async fn end(&self, slot: &Slot, server: &ServerSpec, install: &Install, used: &Known, reason: &str) -> Error {
        let dead = used.set.dead(reason);
        let when = Precondition::Version(used.version);
        if let Err(error) = self.connections.put_tokens(&install.name, &dead, when).await {
            tracing::debug!(install = %install.name, %error, "the end of a sign-in was not recorded");
        }
        *lock(&slot.known) = None;
        tracing::info!(install = %install.name, reason, "a sign-in has ended");
        self.again(server, install, reason)
    }

    fn connect(&self, server: &ServerSpec, install: &Install) -> Error {
        let url = self.link(&install.name);
        let failure = Failure::new(FailureKind::Credential, "nobody has signed in to it yet")
            .action(FailureAction::Connect { url });
        not_ready(server, failure)
    }

    fn again(&self, server: &ServerSpec, install: &Install, reason: &str) -> Error {
        let url = self.link(&install.name);
        let failure = Failure::new(FailureKind::Credential, format!("its sign-in has ended: {reason}"));
        not_ready(server, failure.action(FailureAction::Reauthenticate { url }))
    }
}

fn failing(server: &ServerSpec, message: &str) -> Error {
    OAuthError::failing(message).into_error(server.name.as_str())
}

fn not_ready(server: &ServerSpec, failure: Failure) -> Error {
    Error::NotReady {
        what: "server",
        name: server.name.to_string(),
        failure,
    }
}

/// Replaces a token that a server has refused.
struct Renewal {
    owner: Weak<SignIns>,
    server: ServerSpec,
    install: Install,
    base: Arc<UpstreamCredential>,
    used: Version,
}

impl std::fmt::Debug for Renewal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renewal")
            .field("install", &self.install.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialRefresh for Renewal {
    async fn renew(&self, refusal: &CredentialRefusal) -> Result<Option<Arc<UpstreamCredential>>> {
        let Some(owner) = self.owner.upgrade() else {
            return Ok(None);
        };
        let (server, install) = (&self.server, &self.install);
        let slot = owner.slot(&install.name);
        let Some(mut known) = owner.read(&slot, &install.name).await? else {
            return Err(owner.connect(server, install));
        };
        owner.check(&known.set, server, install)?;
        if known.version == self.used {
            if refusal.status == 403 {
                return owner.step_up(server, install, &known, refusal).await;
            }
            let age = Duration::try_from(owner.clock.now().duration_since(known.set.obtained)).unwrap_or_default();
            if age < YOUNG {
                return Err(owner.again(server, install, "it refuses a token that it was given just now"));
            }
            known = owner.renew(&slot, server, install, &known).await?;
            owner.check(&known.set, server, install)?;
        }
        Ok(Some(owner.make(&known, server, install, &self.base)))
    }
}

impl SignIns {
    /// Records the scopes that a server asks for beyond those of its token: the next sign-in asks for them.
    async fn step_up(
        &self,
        server: &ServerSpec,
        install: &Install,
        known: &Known,
        refusal: &CredentialRefusal,
    ) -> Result<Option<Arc<UpstreamCredential>>> {
        let challenge = BearerChallenge::parse(refusal.challenges.iter().map(|value| &**value)).unwrap_or_default();
        if challenge.error.as_deref() != Some("insufficient_scope") {
            return Ok(None);
        }
        let mut set = known.set.clone();
        for scope in set.scopes.clone().into_iter().chain(challenge.scopes) {
            if !set.wanted.contains(&scope) && set.wanted.len() < 64 {
                set.wanted.push(scope);
            }
        }
        let reason = format!(
            "it wants more permissions: {}",
            super::error::words(&set.wanted.join(" "), &[])
        );
        if set.wanted != known.set.wanted {
            let when = Precondition::Version(known.version);
            match self.connections.put_tokens(&install.name, &set, when).await {
                // Somebody else has recorded it, or signed in again.
                Ok(_) | Err(Error::Conflict { .. }) => self.forget(&install.name),
                Err(error) => return Err(error),
            }
        }
        Err(self.again(server, install, &reason))
    }
}
