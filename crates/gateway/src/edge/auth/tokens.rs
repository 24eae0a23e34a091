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

/// What every token that [`StaticTokens::mint`] makes begins with, so that leak scanners can know it.
const PREFIX: &str = "ptl_";

/// The longest token that is looked at.
const MAX_LEN: usize = 512;

/// Tokens that are looked for in the registry at once.
const LOOKING: usize = 8;

/// More changes at once are taken over by reading everything.
const FEW_CHANGES: usize = 8;

type Changes = BoxStream<'static, Result<Change>>;

/// Bearer tokens that were given out by hand: known by their SHA-256, never kept themselves.
///
/// A known token admits, whatever its format. An unknown token that begins as [`StaticTokens::mint`] makes them (`ptl_`) is
/// refused; any other is left to the next authenticator.
///
/// All grants are in memory, so a check needs no I/O; those of a registry follow its change feed, so that a token that is
/// revoked anywhere ends to open anything within a second.
#[derive(Debug)]
pub struct StaticTokens {
    grants: Arc<Grants>,
    clock: Arc<dyn Clock>,
    /// Where a token is looked for that is not in memory yet.
    registry: Option<Arc<dyn Registry>>,
    looking: Semaphore,
    _following: Option<AbortOnDropHandle<()>>,
}

#[derive(Debug, Default)]
struct Grants {
    by_digest: ArcSwap<HashMap<TokenDigest, Known>>,
    /// Held from reading the registry to writing here: what was read earlier must not be written later, or a token that
    /// was revoked in between would open for ever.
    writing: Mutex<()>,
}

/// A grant, with the caller that it makes.
#[derive(Clone, Debug)]
struct Known {
    caller: Arc<Caller>,
    expires: Option<Timestamp>,
}

impl From<TokenGrant> for Known {
    fn from(grant: TokenGrant) -> Self {
        Self {
            caller: Arc::new(grant.caller()),
            expires: grant.expires,
        }
    }
}

/// The digest that a token is known by.
pub fn digest(token: &str) -> TokenDigest {
    let hashed = hash::digest(&hash::SHA256, token.as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hashed.as_ref());
    TokenDigest::new(bytes)
}

impl StaticTokens {
    /// Tokens of a fixed list of users, each with the digest of its token: see [`digest`].
    ///
    /// ```
    /// use portolan_gateway::{StaticTokens, digest};
    ///
    /// let tokens = StaticTokens::from_users([("alice", digest("a long random token"))])?;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn from_users<N: AsRef<str>>(users: impl IntoIterator<Item = (N, TokenDigest)>) -> Result<Self> {
        let created = SystemClock.now();
        let grants: Result<Vec<_>> = users
            .into_iter()
            .map(|(name, digest)| Ok(TokenGrant::new(digest, Subject::User(UserId::parse(name)?), created)))
            .collect();
        Ok(Self::from_grants(grants?, Arc::new(SystemClock)))
    }

    /// A fixed list of grants.
    pub fn from_grants(grants: impl IntoIterator<Item = TokenGrant>, clock: Arc<dyn Clock>) -> Self {
        let by_digest = grants
            .into_iter()
            .map(|grant| (grant.digest.clone(), grant.into()))
            .collect();
        let grants = Grants {
            by_digest: ArcSwap::from_pointee(by_digest),
            writing: Mutex::default(),
        };
        Self {
            grants: grants.into(),
            clock,
            registry: None,
            looking: Semaphore::new(LOOKING),
            _following: None,
        }
    }

    /// The grants of a registry, kept in step with it for as long as this value lives.
    pub async fn follow(registry: Arc<dyn Registry>, clock: Arc<dyn Clock>) -> Result<Self> {
        let grants = Arc::new(Grants::default());
        // The feed is opened before the list is read: a change in between is seen twice, never not at all.
        let changes = registry.changes(Revision::default());
        grants.load(&*registry).await?;
        let following = tokio::spawn(follow(grants.clone(), registry.clone(), changes));
        Ok(Self {
            grants,
            clock,
            registry: Some(registry),
            looking: Semaphore::new(LOOKING),
            _following: Some(AbortOnDropHandle::new(following)),
        })
    }

    /// Makes a token of 256 random bits, with the digest to keep of it.
    pub fn mint() -> Result<(Secret, TokenDigest)> {
        let mut bytes = [0; 32];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::backend("the random number generator", "give random bytes", "it failed"))?;
        let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let digest = digest(&token);
        Ok((Secret::new(token), digest))
    }

    /// The caller of a token; `None` if it is unknown and of another format than [`StaticTokens::mint`] makes.
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

    /// A token that was made just now may not have come through the change feed yet. Few at a time are looked for, so
    /// that a flood of wrong tokens does not become one of queries.
    async fn look_up(&self, digest: &TokenDigest) -> Result<Known, AuthError> {
        let (Some(registry), Ok(_looking)) = (&self.registry, self.looking.try_acquire()) else {
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
        let _writing = self.writing.lock().await;
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

    /// Takes over some changes: each for itself while they are few, else everything in one go.
    async fn apply(&self, registry: &dyn Registry, changes: Vec<Result<Change>>) -> Result<()> {
        let mut digests = Vec::new();
        for change in changes {
            if let Key::Token(digest) = change?.key {
                digests.push(digest);
            }
        }
        if digests.len() > FEW_CHANGES {
            return self.load(registry).await;
        }
        for digest in &digests {
            self.reload(registry, digest).await?;
        }
        Ok(())
    }

    async fn reload(&self, registry: &dyn Registry, digest: &TokenDigest) -> Result<()> {
        let _writing = self.writing.lock().await;
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

/// Keeps `grants` in step with the registry. After a fault everything is read anew.
async fn follow(grants: Arc<Grants>, registry: Arc<dyn Registry>, changes: Changes) {
    let mut changes = changes.ready_chunks(FEW_CHANGES + 1);
    loop {
        while let Some(chunk) = changes.next().await {
            if let Err(error) = grants.apply(&*registry, chunk).await {
                tracing::warn!(%error, "the registry's change feed broke; tokens are read anew");
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        // From the beginning: a feed may have forgotten where this one stood.
        changes = registry.changes(Revision::default()).ready_chunks(FEW_CHANGES + 1);
        if let Err(error) = grants.load(&*registry).await {
            tracing::warn!(%error, "tokens cannot be read");
        }
    }
}
