//! Static bearer tokens, hashed at rest.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use aws_lc_rs::{
    digest as hash,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{StreamExt, stream::BoxStream};
use http::request::Parts;
use jiff::Timestamp;
use portolan_core::{
    AuthError, Authenticator, Caller, Challenge, Change, Clock, Error, GatewayName, Key, Page, Record, RecordKind,
    Registry, Result, Revision, Secret, Subject, SystemClock, TokenDigest, TokenGrant, UserId,
};
use tokio::sync::{Mutex, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::bearer;

/// The prefix of tokens made by [`StaticTokens::mint`], so that leak scanners can recognise them.
const PREFIX: &str = "ptl_";

/// The maximum length of a token, in bytes.
const MAX_LEN: usize = 512;

/// The maximum number of concurrent registry lookups.
const MAX_LOOKUPS: usize = 8;

/// Above this number of changes at once, all grants are read again.
const MAX_SINGLE_CHANGES: usize = 8;

type Changes = BoxStream<'static, Result<Change>>;

/// An authenticator for bearer tokens that were issued by hand. Only their SHA-256 digests are stored.
///
/// A known token is accepted, whatever its format. An unknown token with the prefix of [`StaticTokens::mint`] (`ptl_`)
/// is rejected; any other is left to the next authenticator.
///
/// All grants are in memory, so a check needs no I/O. Those of a registry follow its change feed: a revoked token
/// stops working on all replicas within one second.
#[derive(Debug)]
pub struct StaticTokens {
    grants: Arc<Grants>,
    clock: Arc<dyn Clock>,
    /// Queried for a token that is not in memory yet.
    registry: Option<Arc<dyn Registry>>,
    lookups: Semaphore,
    _following: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug, Default)]
struct Grants {
    by_digest: ArcSwap<HashMap<TokenDigest, KnownGrant>>,
    /// Held from reading the registry to updating the map. Otherwise an earlier read could overwrite a later one, and
    /// a revoked token would stay valid.
    update_lock: Mutex<()>,
}

/// A grant, with the caller that it authenticates.
#[derive(Clone, Debug)]
struct KnownGrant {
    caller: Arc<Caller>,
    expires: Option<Timestamp>,
}

impl From<TokenGrant> for KnownGrant {
    fn from(grant: TokenGrant) -> Self {
        Self {
            caller: Arc::new(grant.caller()),
            expires: grant.expires,
        }
    }
}

/// Returns the SHA-256 digest of a token, by which [`StaticTokens`] recognises it.
pub fn digest(token: &str) -> TokenDigest {
    let hashed = hash::digest(&hash::SHA256, token.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hashed.as_ref());
    TokenDigest::new(bytes)
}

impl StaticTokens {
    /// Creates an authenticator for a fixed list of users, each with the [`digest`] of its token.
    ///
    /// ```
    /// use portolan_gateway::{StaticTokens, digest};
    ///
    /// let tokens = StaticTokens::from_users([("alice", digest("a long random token"))])?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Invalid`] if a name is not a valid user id.
    pub fn from_users<N: AsRef<str>>(users: impl IntoIterator<Item = (N, TokenDigest)>) -> Result<Self> {
        let created = SystemClock.now();
        let grants: Result<Vec<_>> = users
            .into_iter()
            .map(|(name, digest)| Ok(TokenGrant::new(digest, Subject::User(UserId::parse(name)?), created)))
            .collect();
        Ok(Self::from_grants(grants?, Arc::new(SystemClock)))
    }

    /// Creates an authenticator for a fixed list of grants.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use portolan_core::{Clock, Subject, SystemClock, TokenGrant, UserId};
    /// use portolan_gateway::{StaticTokens, digest};
    ///
    /// let alice = Subject::User(UserId::parse("alice")?);
    /// let grant = TokenGrant::new(digest("a long random token"), alice, SystemClock.now());
    /// let tokens = StaticTokens::from_grants([grant], Arc::new(SystemClock));
    /// # let _ = tokens;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn from_grants(grants: impl IntoIterator<Item = TokenGrant>, clock: Arc<dyn Clock>) -> Self {
        let by_digest = grants
            .into_iter()
            .map(|grant| (grant.digest.clone(), grant.into()))
            .collect();
        let grants = Grants {
            by_digest: ArcSwap::from_pointee(by_digest),
            update_lock: Mutex::default(),
        };
        Self {
            grants: grants.into(),
            clock,
            registry: None,
            lookups: Semaphore::new(MAX_LOOKUPS),
            _following: None,
        }
    }

    /// Creates an authenticator for the grants of a registry, and follows its changes for as long as this value lives.
    /// Must be called within a tokio runtime.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use portolan_core::{SystemClock, memory::MemoryRegistry};
    /// use portolan_gateway::StaticTokens;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(async {
    /// let tokens = StaticTokens::follow(Arc::new(MemoryRegistry::default()), Arc::new(SystemClock)).await?;
    /// # let _ = tokens;
    /// # Ok::<(), portolan_core::Error>(())
    /// # }).expect("tokens");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the registry if its grants cannot be read.
    pub async fn follow(registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Result<Self> {
        let grants = Arc::new(Grants::default());
        // The feed is opened before the list is read, so that no change in between is missed.
        let changes = registry.changes(Revision::default());
        grants.load(&*registry).await?;
        let following = tokio::spawn(follow(grants.clone(), registry.clone(), changes));
        Ok(Self {
            grants,
            clock,
            registry: Some(registry),
            lookups: Semaphore::new(MAX_LOOKUPS),
            _following: Some(AbortOnDropHandle::new(following)),
        })
    }

    /// Creates a token of 256 random bits with the prefix `ptl_`, and the digest to store.
    ///
    /// ```
    /// use portolan_gateway::StaticTokens;
    ///
    /// let (token, digest) = StaticTokens::mint()?;
    /// assert!(token.reveal().starts_with("ptl_"));
    /// # let _ = digest;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Backend`](portolan_core::Error::Backend) if the system has no random bytes.
    pub fn mint() -> Result<(Secret, TokenDigest)> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::backend("the random number generator", "give random bytes", "it failed"))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let digest = digest(&token);
        Ok((Secret::new(token), digest))
    }

    /// Returns the caller of a token; `None` if it is unknown and has another format than those of
    /// [`StaticTokens::mint`].
    async fn check(&self, token: &str, now: Timestamp) -> Result<Option<Arc<Caller>>, AuthError> {
        let is_ours = token.starts_with(PREFIX);
        if token.len() > MAX_LEN {
            return if is_ours { Err(AuthError::Invalid) } else { Ok(None) };
        }
        let digest = digest(token);
        let known = self.grants.by_digest.load().get(&digest).cloned();
        let grant = match known {
            Some(grant) => grant,
            None if is_ours => self.look_up(&digest).await?,
            None => return Ok(None),
        };
        if grant.expires.is_some_and(|end| now >= end) {
            return Err(AuthError::Expired);
        }
        Ok(Some(grant.caller))
    }

    /// Looks up a token that the change feed may not have delivered yet. Lookups are limited, so that a flood of
    /// invalid tokens does not become a flood of queries.
    async fn look_up(&self, digest: &TokenDigest) -> Result<KnownGrant, AuthError> {
        let (Some(registry), Ok(_looking)) = (&self.registry, self.lookups.try_acquire()) else {
            return Err(AuthError::Invalid);
        };
        self.grants
            .reload(&**registry, digest)
            .await
            .map_err(AuthError::Unavailable)?;
        self.grants
            .by_digest
            .load()
            .get(digest)
            .cloned()
            .ok_or(AuthError::Invalid)
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        match bearer(&request.headers)? {
            None => Ok(None),
            Some(token) => self.check(token, self.clock.now()).await,
        }
    }

    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
        Some(Challenge::bearer().with_realm(gateway.as_str()))
    }
}

impl Grants {
    async fn load(&self, registry: &dyn Registry) -> Result<()> {
        let _update = self.update_lock.lock().await;
        let mut all = HashMap::new();
        let mut page = Page::first();
        loop {
            let records = registry.list(RecordKind::Token, page).await?;
            let Some(last) = records.last() else { break };
            page = Page::after(last.value.key());
            all.extend(records.into_iter().filter_map(|record| match record.value {
                Record::Token(grant) => Some((grant.digest.clone(), grant.into())),
                _ => None,
            }));
        }
        self.by_digest.store(Arc::new(all));
        Ok(())
    }

    /// Applies changes: one by one if they are few, otherwise by reading all grants.
    async fn apply(&self, registry: &dyn Registry, changes: Vec<Result<Change>>) -> Result<()> {
        let mut digests = Vec::new();
        for change in changes {
            if let Key::Token(digest) = change?.key {
                digests.push(digest);
            }
        }
        if digests.len() > MAX_SINGLE_CHANGES {
            return self.load(registry).await;
        }
        for digest in &digests {
            self.reload(registry, digest).await?;
        }
        Ok(())
    }

    async fn reload(&self, registry: &dyn Registry, digest: &TokenDigest) -> Result<()> {
        let _update = self.update_lock.lock().await;
        let found = registry.get(&Key::Token(digest.clone())).await?;
        if found.is_none() && !self.by_digest.load().contains_key(digest) {
            return Ok(());
        }
        let mut all = HashMap::clone(&self.by_digest.load());
        match found.map(|found| found.value) {
            Some(Record::Token(grant)) => all.insert(digest.clone(), grant.into()),
            _ => all.remove(digest),
        };
        self.by_digest.store(Arc::new(all));
        Ok(())
    }
}

/// Keeps `grants` up to date with the registry. After an error everything is read again.
async fn follow(grants: Arc<Grants>, registry: Arc<dyn Registry>, changes: Changes) {
    let mut changes = changes.ready_chunks(MAX_SINGLE_CHANGES + 1);
    loop {
        while let Some(chunk) = changes.next().await {
            if let Err(error) = grants.apply(&*registry, chunk).await {
                tracing::warn!(%error, "the registry's change feed failed; all tokens are read again");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        // From the beginning: the feed may no longer have the old position.
        changes = registry
            .changes(Revision::default())
            .ready_chunks(MAX_SINGLE_CHANGES + 1);
        if let Err(error) = grants.load(&*registry).await {
            tracing::warn!(%error, "tokens cannot be read from the registry; retrying");
        }
    }
}
