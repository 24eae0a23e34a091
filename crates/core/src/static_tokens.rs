//! Static bearer tokens, hashed at rest.

mod grants;

use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::{
    digest as hash,
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::request::Parts;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use self::grants::{Grants, KnownGrant};
use crate::{
    AuthError, Authenticator, Caller, Challenge, Clock, Error, GatewayName, Registry, Result, Secret, Subject,
    SystemClock, TokenDigest, TokenGrant, UserId, bearer_token,
};

/// The prefix of tokens made by [`StaticTokens::mint`], so that leak scanners can recognise them.
const PREFIX: &str = "ptl_";

/// The maximum length of a token, in bytes.
const MAX_LEN: usize = 512;

/// The maximum number of concurrent registry lookups.
const MAX_LOOKUPS: usize = 8;

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
    /// use portolan_core::{StaticTokens, digest};
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
    /// use portolan_core::{StaticTokens, digest};
    ///
    /// let alice = Subject::User(UserId::parse("alice")?);
    /// let grant = TokenGrant::new(digest("a long random token"), alice, SystemClock.now());
    /// let tokens = StaticTokens::from_grants([grant], Arc::new(SystemClock));
    /// # let _ = tokens;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn from_grants(grants: impl IntoIterator<Item = TokenGrant>, clock: Arc<dyn Clock>) -> Self {
        Self {
            grants: Arc::new(Grants::new(grants)),
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
    /// use portolan_core::StaticTokens;
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
        let read = grants.load(&*registry).await?;
        let following = tokio::spawn(grants::follow(grants.clone(), registry.clone(), read));
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
    /// use portolan_core::StaticTokens;
    ///
    /// let (token, digest) = StaticTokens::mint()?;
    /// assert!(token.reveal().starts_with("ptl_"));
    /// # let _ = digest;
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Backend`](crate::Error::Backend) if the system has no random bytes.
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
        let known = self.grants.get(&digest);
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
        self.grants.get(digest).ok_or(AuthError::Invalid)
    }
}

#[async_trait]
impl Authenticator for StaticTokens {
    async fn authenticate(&self, _: &GatewayName, request: &Parts) -> Result<Option<Arc<Caller>>, AuthError> {
        match bearer_token(&request.headers)? {
            None => Ok(None),
            Some(token) => self.check(token, self.clock.now()).await,
        }
    }

    fn challenge(&self, gateway: &GatewayName) -> Option<Challenge> {
        Some(Challenge::bearer().with_realm(gateway.as_str()))
    }
}
