//! A provider that rotates its tokens, holders that die, and stores that fail.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;

use super::*;
use crate::{
    CredentialReader, Result as CoreResult, SystemClock,
    memory::{ManualClock, MemoryCredentials},
};

/// A provider whose tokens are numbers. One that is presented twice revokes the grant.
#[derive(Debug, Default)]
struct Provider {
    spent: Mutex<BTreeSet<u64>>,
    exchanges: AtomicUsize,
    reused: AtomicUsize,
}

impl Provider {
    fn exchange(&self, token: &Secret) -> Result<Secret, ExchangeError> {
        let number: u64 = token.reveal().parse().expect("a token of this provider");
        self.exchanges.fetch_add(1, Ordering::SeqCst);
        if !self.spent.lock().expect("no panic").insert(number) {
            self.reused.fetch_add(1, Ordering::SeqCst);
            return Err(ExchangeError::Refused {
                message: "invalid_grant".into(),
            });
        }
        Ok(Secret::new((number + 1).to_string()))
    }

    fn counts(&self) -> (usize, usize) {
        (
            self.exchanges.load(Ordering::SeqCst),
            self.reused.load(Ordering::SeqCst),
        )
    }
}

/// A store whose calls can be made to fail, before or after they did their work.
#[derive(Debug, Default)]
struct Faulty {
    store: MemoryCredentials,
    plan: Mutex<Vec<Fault>>,
}

/// The first call of this kind fails.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The write of a mark, without effect.
    MarkBefore,
    /// The write of a mark, with effect.
    MarkAfter,
    /// The write of the credential, without effect.
    PutBefore,
    /// The write of the credential, with effect.
    PutAfter,
    /// The release of a lease.
    Release,
}

impl Faulty {
    fn fails(&self, fault: Fault) -> bool {
        let mut plan = self.plan.lock().expect("no panic");
        let at = plan.iter().position(|planned| *planned == fault);
        at.map(|at| plan.remove(at)).is_some()
    }
}

fn away() -> Error {
    Error::unavailable("the store", "a planned fault")
}

#[async_trait]
impl CredentialReader for Faulty {
    async fn read(&self, key: &CredentialKey) -> CoreResult<Option<Versioned<Secret>>> {
        self.store.read(key).await
    }
}

#[async_trait]
impl CredentialStore for Faulty {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> CoreResult<Version> {
        let mark = key.as_str().ends_with(".spent");
        let [before, after] = if mark {
            [Fault::MarkBefore, Fault::MarkAfter]
        } else {
            [Fault::PutBefore, Fault::PutAfter]
        };
        if self.fails(before) {
            return Err(away());
        }
        let written = self.store.put(key, secret, when).await;
        if written.is_ok() && self.fails(after) {
            return Err(away());
        }
        written
    }

    async fn remove(&self, key: &CredentialKey) -> CoreResult<()> {
        self.store.remove(key).await
    }

    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> CoreResult<Vec<CredentialKey>> {
        self.store.keys(prefix, after, limit).await
    }

    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> CoreResult<Option<Lease>> {
        self.store.lease(key, ttl).await
    }

    async fn release(&self, lease: Lease) -> CoreResult<()> {
        if self.fails(Fault::Release) {
            return Err(away());
        }
        self.store.release(lease).await
    }
}

struct World {
    store: Arc<Faulty>,
    clock: Arc<ManualClock>,
    provider: Arc<Provider>,
    key: CredentialKey,
    first: Version,
}

impl World {
    /// A store with token 1.
    async fn new(faults: &[Fault]) -> Self {
        let store = Arc::new(Faulty::default());
        let key = CredentialKey::parse("github/token").expect("a key");
        let first = store
            .put(&key, Secret::new("1"), Precondition::Absent)
            .await
            .expect("put");
        *store.plan.lock().expect("no panic") = faults.to_vec();
        Self {
            store,
            clock: Arc::default(),
            provider: Arc::default(),
            key,
            first,
        }
    }

    fn guard(&self, options: RefreshOptions) -> RefreshGuard {
        RefreshGuard::new(self.store.clone(), self.clock.clone(), options)
    }

    async fn refresh(&self, options: RefreshOptions) -> Result<Versioned<Secret>, RefreshError> {
        let provider = self.provider.clone();
        let exchange = move |token: Secret| async move { provider.exchange(&token) };
        self.guard(options).refresh(&self.key, self.first, exchange).await
    }

    /// A holder that dies in the middle of its exchange, before or after the provider got the token: its task hangs and
    /// neither writes nor releases.
    async fn die(&self, reaches_provider: bool) {
        let provider = self.provider.clone();
        let (told, reached) = tokio::sync::oneshot::channel();
        let guard = self.guard(options());
        let refresh = Refresh {
            marks: Marks::new(self.store.clone(), &self.key).expect("a key"),
            guard,
            key: self.key.clone(),
            used: self.first,
        };
        let holder = tokio::spawn(async move {
            let exchange = move |token: Secret| async move {
                if reaches_provider {
                    let _ = provider.exchange(&token);
                }
                let _ = told.send(());
                std::future::pending().await
            };
            refresh.run(exchange).await
        });
        reached.await.expect("it begins");
        holder.abort();
    }
}

fn options() -> RefreshOptions {
    RefreshOptions::default()
}

fn is_unknown(result: &Result<Versioned<Secret>, RefreshError>) -> bool {
    matches!(result, Err(RefreshError::OutcomeUnknown { .. }))
}

#[tokio::test(start_paused = true)]
async fn refresh_stores_the_new_credential() {
    let world = World::new(&[]).await;
    let refreshed = world.refresh(options()).await.expect("refreshed");
    assert_eq!(refreshed.value.reveal(), "2");
    assert_eq!(world.store.read(&world.key).await.expect("read"), Some(refreshed));
}

#[tokio::test(start_paused = true)]
async fn older_version_gets_the_stored_credential() {
    let world = World::new(&[]).await;
    let refreshed = world.refresh(options()).await.expect("refreshed");
    assert_eq!(world.refresh(options()).await.expect("there already"), refreshed);
    assert_eq!(world.provider.counts(), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_callers_share_one_exchange() {
    let world = Arc::new(World::new(&[]).await);
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.refresh(options()).await })
        })
        .collect();
    for task in tasks {
        let refreshed = task.await.expect("no panic").expect("refreshed");
        assert_eq!(refreshed.value.reveal(), "2");
    }
    assert_eq!(world.provider.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn missing_credential_is_told() {
    let world = World::new(&[]).await;
    world.store.remove(&world.key).await.expect("removed");
    let result = world.refresh(options()).await;
    assert!(matches!(result, Err(RefreshError::Missing)), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn death_in_the_exchange_is_an_unknown_outcome() {
    for reaches_provider in [false, true] {
        let world = World::new(&[]).await;
        world.die(reaches_provider).await;
        let result = world.refresh(options()).await;
        assert!(is_unknown(&result), "{result:?}");
        assert_eq!(world.provider.counts().1, 0, "never presented again");
        // The user signs in again, and everything goes on.
        let put = world.store.put(&world.key, Secret::new("10"), Precondition::None);
        let used = put.await.expect("signed in");
        let provider = world.provider.clone();
        let exchange = move |token: Secret| async move { provider.exchange(&token) };
        let refreshed = world.guard(options()).refresh(&world.key, used, exchange).await;
        assert_eq!(refreshed.expect("refreshed").value.reveal(), "11");
    }
}

#[tokio::test(start_paused = true)]
async fn death_before_the_mark_costs_nothing() {
    let world = World::new(&[]).await;
    // It holds the lease and nothing else.
    world
        .store
        .lease(&world.key, options().lease)
        .await
        .expect("lease")
        .expect("free");
    assert_eq!(world.refresh(options()).await.expect("refreshed").value.reveal(), "2");
}

#[tokio::test(start_paused = true)]
async fn death_after_the_write_costs_nothing() {
    let world = World::new(&[Fault::Release]).await;
    let refreshed = world.refresh(options()).await.expect("refreshed");
    assert_eq!(world.refresh(options()).await.expect("there already"), refreshed);
    // The lease is held still, and the next refresh waits for its end.
    let (guard, provider) = (world.guard(options()), world.provider.clone());
    let exchange = move |token: Secret| async move { provider.exchange(&token) };
    let next = guard.refresh(&world.key, refreshed.version, exchange).await;
    assert_eq!(next.expect("refreshed").value.reveal(), "3");
}

#[tokio::test(start_paused = true)]
async fn provider_with_grace_is_asked_again() {
    let world = World::new(&[]).await;
    world.die(false).await;
    world.clock.advance(Duration::from_secs(20));
    let grace = options().with_reuse_within(Duration::from_secs(30));
    assert_eq!(world.refresh(grace).await.expect("refreshed").value.reveal(), "2");
}

#[tokio::test(start_paused = true)]
async fn grace_counts_from_the_first_use() {
    let world = World::new(&[]).await;
    let grace = options().with_reuse_within(Duration::from_secs(30));
    let unknown = |_| async { Err(ExchangeError::Unknown(away())) };
    for (advance, fails_as_unknown_only) in [(0, true), (20, true), (9, true), (1, false)] {
        world.clock.advance(Duration::from_secs(advance));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let exchange = move |token| {
            counted.fetch_add(1, Ordering::SeqCst);
            unknown(token)
        };
        let result = world
            .guard(grace.clone())
            .refresh(&world.key, world.first, exchange)
            .await;
        assert!(is_unknown(&result), "{result:?}");
        assert_eq!(
            asked.load(Ordering::SeqCst) == 1,
            fails_as_unknown_only,
            "after {advance} s"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn failed_mark_sends_nothing_and_leaves_nothing() {
    for fault in [Fault::MarkBefore, Fault::MarkAfter] {
        let world = World::new(&[fault]).await;
        let result = world.refresh(options()).await;
        assert!(
            matches!(&result, Err(RefreshError::Failed(error)) if error.is_retryable()),
            "{result:?}"
        );
        assert_eq!(world.provider.counts(), (0, 0));
        assert_eq!(world.refresh(options()).await.expect("refreshed").value.reveal(), "2");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_write_is_repeated() {
    for fault in [Fault::PutBefore, Fault::PutAfter] {
        let world = World::new(&[fault; 3]).await;
        assert_eq!(world.refresh(options()).await.expect("refreshed").value.reveal(), "2");
        let stored = world.store.read(&world.key).await.expect("read").expect("is there");
        assert_eq!(stored.value.reveal(), "2");
    }
}

#[tokio::test(start_paused = true)]
async fn lost_credential_is_told_and_never_presented_again() {
    let world = World::new(&[Fault::PutBefore; 1_000]).await;
    let result = world.refresh(options()).await;
    assert!(matches!(result, Err(RefreshError::NotStored { .. })), "{result:?}");
    world.store.plan.lock().expect("no panic").clear();
    let result = world.refresh(options()).await;
    assert!(is_unknown(&result), "{result:?}");
    assert_eq!(world.provider.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn unspent_token_is_presented_again() {
    let world = World::new(&[]).await;
    let unreached = |_| async { Err(ExchangeError::Unspent(Error::unavailable("the provider", "no route"))) };
    let result = world.guard(options()).refresh(&world.key, world.first, unreached).await;
    assert!(
        matches!(&result, Err(RefreshError::Failed(error)) if error.is_retryable()),
        "{result:?}"
    );
    assert_eq!(world.refresh(options()).await.expect("refreshed").value.reveal(), "2");
}

#[tokio::test(start_paused = true)]
async fn refusal_needs_a_sign_in() {
    let world = World::new(&[]).await;
    world.provider.exchange(&Secret::new("1")).expect("spent elsewhere");
    let error = world.refresh(options()).await.expect_err("refused");
    assert!(
        error.needs_sign_in() && error.to_string().contains("invalid_grant"),
        "{error}"
    );
    let Error::NotReady { failure, .. } = Error::from(error) else {
        panic!("a failure of the credential")
    };
    assert_eq!(failure.kind, crate::FailureKind::Credential);
}

#[tokio::test(start_paused = true)]
async fn silent_provider_is_an_unknown_outcome() {
    let world = World::new(&[]).await;
    let silent = |_| std::future::pending();
    let result = world.guard(options()).refresh(&world.key, world.first, silent).await;
    assert!(is_unknown(&result), "{result:?}");
    assert!(is_unknown(&world.refresh(options()).await));
    assert_eq!(world.provider.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn holder_that_outlives_its_lease_does_not_begin() {
    let world = World::new(&[]).await;
    let late = Refresh {
        marks: Marks::new(world.store.clone(), &world.key).expect("a key"),
        guard: world.guard(options()),
        key: world.key.clone(),
        used: world.first,
    };
    let old = world.marks_before_takeover(&late).await;
    // Its lease has ended and somebody else refreshes.
    tokio::time::sleep(options().lease * 2).await;
    world.die(true).await;
    // It goes on where it stood, with the mark that it read then.
    let own = Mark::spending(world.first, world.clock.now(), old.fence);
    let written = late.marks.write(&own, Precondition::Absent).await;
    assert!(matches!(written, Err(Error::Conflict { .. })), "{written:?}");
}

impl World {
    async fn marks_before_takeover(&self, late: &Refresh) -> Lease {
        let lease = self.store.lease(&self.key, options().lease).await.expect("lease");
        assert_eq!(late.marks.read().await.expect("read"), None);
        lease.expect("free")
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_caller_does_not_stop_the_refresh() {
    let world = World::new(&[]).await;
    let provider = world.provider.clone();
    let (told, reached) = tokio::sync::oneshot::channel();
    let guard = world.guard(options());
    let exchange = move |token: Secret| async move {
        let _ = told.send(());
        tokio::time::sleep(Duration::from_secs(5)).await;
        provider.exchange(&token)
    };
    tokio::select! {
        _ = guard.refresh(&world.key, world.first, exchange) => panic!("it takes longer"),
        begun = reached => begun.expect("begun"),
    }
    assert_eq!(world.refresh(options()).await.expect("refreshed").value.reveal(), "2");
    assert_eq!(world.provider.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn sign_in_during_a_refresh_wins() {
    let world = World::new(&[]).await;
    let (store, key) = (world.store.clone(), world.key.clone());
    let exchange = move |_| async move {
        store
            .put(&key, Secret::new("50"), Precondition::None)
            .await
            .expect("signed in");
        Ok(Secret::new("2"))
    };
    let refreshed = world.guard(options()).refresh(&world.key, world.first, exchange).await;
    assert_eq!(refreshed.expect("the sign-in").value.reveal(), "50");
}

#[tokio::test(start_paused = true)]
async fn endless_holder_is_a_timeout() {
    let world = World::new(&[]).await;
    let held = world.store.lease(&world.key, Duration::from_secs(3_600)).await;
    held.expect("lease").expect("free");
    let result = world.refresh(options()).await;
    assert!(
        matches!(&result, Err(RefreshError::Failed(Error::Timeout { .. }))),
        "{result:?}"
    );
}

#[tokio::test]
async fn longest_key_is_told() {
    let key = CredentialKey::parse("x".repeat(400)).expect("a key");
    let guard = RefreshGuard::new(Arc::new(MemoryCredentials::new()), Arc::new(SystemClock), options());
    let version = Version(std::num::NonZeroU64::MIN);
    let result = guard.refresh(&key, version, |_| async { Ok(Secret::new("")) }).await;
    assert!(
        matches!(result, Err(RefreshError::Failed(Error::Invalid { .. }))),
        "{result:?}"
    );
}
