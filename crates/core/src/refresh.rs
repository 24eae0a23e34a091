//! Refreshing a credential over all replicas, such that a refresh token is never spent twice.

mod error;
mod mark;

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

pub use error::{ExchangeError, RefreshError};

use crate::{Backoff, Clock, CredentialKey, CredentialStore, Error, Lease, Precondition, Secret, Version, Versioned};
use mark::{Mark, Marks};

/// Settings of a [`RefreshGuard`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshOptions {
    /// How long the lease on a credential is held at most. Default: 60 s. After half of it an exchange counts as one
    /// without an answer.
    pub lease: Duration,
    /// How long a caller waits while somebody else refreshes the credential. Default: 90 s.
    pub wait: Duration,
    /// How long after its first use the provider accepts a refresh token again. Default: zero, never. Only for providers
    /// that promise it; it must be shorter than they do, by what clocks may differ.
    pub reuse_within: Duration,
}

impl Default for RefreshOptions {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            wait: Duration::from_secs(90),
            reuse_within: Duration::ZERO,
        }
    }
}

impl RefreshOptions {
    /// Sets how long the lease is held at most.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long a caller waits for somebody else's refresh.
    #[must_use]
    pub fn with_wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Sets how long after its first use the provider accepts a refresh token again.
    #[must_use]
    pub fn with_reuse_within(mut self, grace: Duration) -> Self {
        self.reuse_within = grace;
        self
    }
}

/// Refreshes credentials, one refresh of a credential at a time over all replicas that share a store.
///
/// Many providers rotate refresh tokens: a token is valid for one exchange, and a second one revokes the whole grant. So
/// a refresh goes through these steps:
///
/// 1. Take the [lease](CredentialStore::lease) on the credential, or wait for whoever has it.
/// 2. Read the credential again. If it has another version than the caller used, somebody else has refreshed it, or the
///    user has signed in again: that is the result.
/// 3. Write a mark that this version is being spent, by compare-and-set, under the key of the credential with `.spent`
///    added. If another holder has written one since, go back to 1.
/// 4. Let the provider exchange the token.
/// 5. Write the new credential by compare-and-set on the version, and release the lease.
///
/// The mark decides, not the lease: of two holders of which one took its lease for valid for too long, only one gets
/// past step 3, whatever their clocks say.
///
/// If a holder dies between 3 and 5, the next one finds the mark and cannot know whether the provider has spent the
/// token. It does not try: the result is [`RefreshError::OutcomeUnknown`], and the user signs in again, unless the
/// provider accepts a token again for a while ([`RefreshOptions::reuse_within`]).
///
/// A refresh runs in a task of its own: it goes on to its end when the caller is dropped. Clones share everything.
///
/// ```
/// use std::sync::Arc;
/// use portolan_core::{
///     CredentialKey, CredentialReader, CredentialStore, ExchangeError, Precondition, RefreshGuard, RefreshOptions, Secret,
///     SystemClock, memory::MemoryCredentials,
/// };
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(async {
/// let (store, key) = (Arc::new(MemoryCredentials::new()), CredentialKey::parse("github/token")?);
/// let used = store.put(&key, Secret::new("first"), Precondition::Absent).await?;
/// let guard = RefreshGuard::new(store, Arc::new(SystemClock), RefreshOptions::default());
/// let refreshed = guard
///     .refresh(&key, used, |current| async move {
///         assert_eq!(current.reveal(), "first"); // the provider is asked here
///         Ok::<_, ExchangeError>(Secret::new("second"))
///     })
///     .await?;
/// assert_eq!(refreshed.value.reveal(), "second");
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("refreshed");
/// ```
#[derive(Clone)]
pub struct RefreshGuard {
    store: Arc<dyn CredentialStore>,
    clock: Arc<dyn Clock>,
    options: RefreshOptions,
}

/// What there is to do under a lease.
enum Prepared {
    /// The credential is another one already.
    Newer(Versioned<Secret>),
    /// Somebody else has begun, because this lease has ended.
    Lost,
    /// This version is marked as being spent, by this holder.
    Marked { current: Secret, mark: Versioned<Mark> },
}

impl RefreshGuard {
    /// Creates a guard of the credentials in `store`.
    pub fn new(store: Arc<dyn CredentialStore>, clock: Arc<dyn Clock>, options: RefreshOptions) -> Self {
        Self { store, clock, options }
    }

    /// Returns a credential newer than version `used`: the one that somebody else has made, or what `exchange` makes of
    /// the present one.
    ///
    /// `exchange` is called at most once, with the credential in version `used`. It asks the provider, and says by its
    /// [`ExchangeError`] whether the provider may have spent the token. It should give up by itself within half of
    /// [`RefreshOptions::lease`]; it is dropped then. Must be called on a tokio runtime with time.
    ///
    /// # Errors
    ///
    /// See [`RefreshError`].
    pub async fn refresh<E, F>(
        &self,
        key: &CredentialKey,
        used: Version,
        exchange: E,
    ) -> Result<Versioned<Secret>, RefreshError>
    where
        E: FnOnce(Secret) -> F + Send + 'static,
        F: Future<Output = Result<Secret, ExchangeError>> + Send + 'static,
    {
        let refresh = Refresh {
            marks: Marks::new(Arc::clone(&self.store), key)?,
            guard: self.clone(),
            key: key.clone(),
            used,
        };
        // Its own task: a caller that goes away must not leave a spent token behind.
        let ended = tokio::spawn(async move { refresh.run(exchange).await }).await;
        ended.unwrap_or_else(|error| Err(Error::backend("the refresh", "end", error).into()))
    }
}

impl fmt::Debug for RefreshGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshGuard")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// One refresh of one credential.
struct Refresh {
    guard: RefreshGuard,
    marks: Marks,
    key: CredentialKey,
    used: Version,
}

impl Refresh {
    async fn run<E, F>(&self, exchange: E) -> Result<Versioned<Secret>, RefreshError>
    where
        E: FnOnce(Secret) -> F,
        F: Future<Output = Result<Secret, ExchangeError>>,
    {
        let until = Instant::now() + self.guard.options.wait;
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(500));
        loop {
            if let Some(newer) = self.newer().await? {
                return Ok(newer);
            }
            // Before the store is asked: the lease ends no earlier than so long after.
            let begun = Instant::now();
            if let Some(lease) = self.guard.store.lease(&self.key, self.guard.options.lease).await? {
                match self.prepare(&lease).await {
                    Ok(Prepared::Lost) => self.release(lease).await,
                    Ok(Prepared::Newer(newer)) => {
                        self.release(lease).await;
                        return Ok(newer);
                    }
                    Ok(Prepared::Marked { current, mark }) => {
                        let result = self.exchange(exchange(current), &mark, begun).await;
                        self.release(lease).await;
                        return result;
                    }
                    Err(error) => {
                        self.release(lease).await;
                        return Err(error);
                    }
                }
            }
            if Instant::now() >= until {
                let action = format!("the refresh of {:?} by somebody else", self.key.as_str());
                let after = self.guard.options.wait;
                return Err(Error::Timeout { action, after }.into());
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Returns the credential if it has another version than the caller used.
    async fn newer(&self) -> Result<Option<Versioned<Secret>>, RefreshError> {
        let current = self.guard.store.read(&self.key).await?.ok_or(RefreshError::Missing)?;
        Ok((current.version != self.used).then_some(current))
    }

    /// Reads the credential and its mark again, under the lease, and marks it as being spent.
    async fn prepare(&self, lease: &Lease) -> Result<Prepared, RefreshError> {
        let mark = self.marks.read().await?;
        // After the mark: a holder writes the credential while its mark stands, so an old credential beside a mark that
        // names another version has not been spent.
        let current = self.guard.store.read(&self.key).await?.ok_or(RefreshError::Missing)?;
        if current.version != self.used {
            return Ok(Prepared::Newer(current));
        }
        let now = self.guard.clock.now();
        let since = mark.as_ref().and_then(|mark| mark.value.spending_since(self.used));
        if let Some(since) = since
            && !within(self.guard.options.reuse_within, since, now)
        {
            return Err(RefreshError::OutcomeUnknown { since });
        }
        // The grace of a provider counts from the first use.
        let own = Mark::spending(self.used, since.unwrap_or(now), lease.fence);
        let when = mark.map_or(Precondition::Absent, |mark| Precondition::Version(mark.version));
        match self.marks.write(&own, when).await {
            Ok(version) => Ok(Prepared::Marked {
                current: current.value,
                mark: Versioned { value: own, version },
            }),
            Err(Error::Conflict { .. }) => Ok(Prepared::Lost),
            Err(error) => {
                // It may have been written. Nothing was sent, so it must not stay.
                if since.is_none() {
                    self.marks.clear_own(&own).await;
                }
                Err(error.into())
            }
        }
    }

    async fn exchange(
        &self,
        exchange: impl Future<Output = Result<Secret, ExchangeError>>,
        mark: &Versioned<Mark>,
        begun: Instant,
    ) -> Result<Versioned<Secret>, RefreshError> {
        let since = mark.value.since();
        let key = self.key.as_str();
        match tokio::time::timeout(self.guard.options.lease / 2, exchange).await {
            Ok(Ok(secret)) => self.store(secret, begun).await,
            Ok(Err(ExchangeError::Unspent(error))) => {
                self.marks.clear(mark).await;
                Err(error.into())
            }
            Ok(Err(ExchangeError::Refused { message })) => {
                self.marks.clear(mark).await;
                Err(RefreshError::Refused { message })
            }
            Ok(Err(ExchangeError::Unknown(error))) => {
                tracing::warn!(key, %error, "a credential may be spent: its refresh has no known outcome");
                Err(RefreshError::OutcomeUnknown { since })
            }
            Err(_) => {
                tracing::warn!(
                    key,
                    "a credential may be spent: the provider has not answered its refresh"
                );
                Err(RefreshError::OutcomeUnknown { since })
            }
        }
    }

    /// Writes the new credential. It is the only one that works now, so this tries again while the lease lasts.
    async fn store(&self, secret: Secret, begun: Instant) -> Result<Versioned<Secret>, RefreshError> {
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let when = Precondition::Version(self.used);
            let source = match self.guard.store.put(&self.key, secret.clone(), when).await {
                Ok(version) => return Ok(Versioned { value: secret, version }),
                // An earlier attempt has written it after all, or the user has signed in again meanwhile.
                Err(Error::Conflict { .. }) => match self.guard.store.read(&self.key).await {
                    Ok(found) => return found.ok_or(RefreshError::Missing),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if begun.elapsed() >= self.guard.options.lease {
                tracing::error!(key = self.key.as_str(), error = %source, "a refreshed credential is lost: it could not be stored");
                return Err(RefreshError::NotStored { source });
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Releases the lease. If that fails, it ends by itself.
    async fn release(&self, lease: Lease) {
        if let Err(error) = self.guard.store.release(lease).await {
            tracing::debug!(key = self.key.as_str(), %error, "a lease was not released");
        }
    }
}

/// Returns `true` if `now` is less than `grace` after `since`, and not before it.
fn within(grace: Duration, since: jiff::Timestamp, now: jiff::Timestamp) -> bool {
    Duration::try_from(now.duration_since(since)).is_ok_and(|passed| passed < grace)
}

#[cfg(test)]
#[path = "refresh/tests.rs"]
mod tests;
