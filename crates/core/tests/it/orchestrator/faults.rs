//! Backends that stop or fail at the n-th operation, counted over all of them, or take odd turns.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Caller, Change, CredentialBroker, CredentialContext, CredentialKey, CredentialReader, CredentialStore, Discovery,
    Endpoint, Error, Gateway, GatewayName, Install, InstallName, Key, Lease, Page, Precondition, Publication,
    PublicationChange, Record, RecordKind, Registry, Result, Revision, RunSpec, Runtime, Secret, ServerSnapshot,
    StatusEvent, UpstreamCredential, Version, Versioned,
};
use tokio::sync::{Mutex, Notify};

/// What happens at the operation that was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is not done, and nothing comes after it: the machine is gone.
    StopBefore,
    /// It is done, and nothing comes after it.
    StopAfter,
    /// It is not done, and says so.
    FailBefore,
    /// It is done, and nobody learns of it.
    FailAfter,
}

impl Fault {
    pub(super) const ALL: [Self; 4] = [Self::StopBefore, Self::StopAfter, Self::FailBefore, Self::FailAfter];
}

/// Counts operations, and lets the chosen one go wrong.
#[derive(Debug, Default)]
pub(super) struct Faults {
    count: AtomicUsize,
    chosen: Mutex<Option<(usize, Fault)>>,
    stopped: Notify,
    /// Not 0: each operation yields some times first, by this seed.
    dice: AtomicU64,
}

impl Faults {
    /// The `n`-th operation from now on, the first being 0, goes wrong.
    pub(super) async fn at(&self, n: usize, fault: Fault) {
        self.count.store(0, Ordering::SeqCst);
        *self.chosen.lock().await = Some((n, fault));
    }

    /// Nothing goes wrong any more. Says whether the chosen operation was reached.
    pub(super) async fn clear(&self) -> bool {
        let chosen = self.chosen.lock().await.take();
        chosen.is_some_and(|(n, _)| n < self.count.load(Ordering::SeqCst))
    }

    /// From now on operations of several tasks interleave, by this seed.
    pub(super) fn shuffle(&self, seed: u64) {
        self.dice
            .store(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, Ordering::SeqCst);
    }

    /// Runs `flow` to its end, or until the machine is gone.
    pub(super) async fn run<T>(&self, flow: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped.notified() => None,
            ended = flow => Some(ended),
        }
    }

    async fn pass<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        for _ in 0..self.roll() {
            tokio::task::yield_now().await;
        }
        let n = self.count.fetch_add(1, Ordering::SeqCst);
        let chosen = *self.chosen.lock().await;
        match chosen.filter(|(chosen, _)| *chosen == n).map(|(_, fault)| fault) {
            None => operation.await,
            Some(Fault::FailBefore) => Err(lost()),
            Some(Fault::FailAfter) => operation.await.and_then(|_| Err(lost())),
            Some(Fault::StopBefore) => self.stop().await,
            Some(Fault::StopAfter) => {
                let _ = operation.await;
                self.stop().await
            }
        }
    }

    async fn stop<T>(&self) -> T {
        self.stopped.notify_one();
        std::future::pending().await
    }

    fn roll(&self) -> u64 {
        let step = |dice: u64| {
            let dice = dice ^ (dice << 13);
            let dice = dice ^ (dice >> 7);
            dice ^ (dice << 17)
        };
        let dice = self
            .dice
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |dice| Some(step(dice)));
        dice.map_or(0, |dice| (dice >> 20) % 4)
    }
}

fn lost() -> Error {
    Error::unavailable("the network", "the cable is cut")
}

/// A backend with faults before it.
#[derive(Debug)]
pub(super) struct Faulty<T> {
    pub(super) inner: Arc<T>,
    pub(super) faults: Arc<Faults>,
}

#[async_trait]
impl<T: Registry> Registry for Faulty<T> {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        self.faults.pass(self.inner.get(key)).await
    }
    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        self.faults.pass(self.inner.put(record, when)).await
    }
    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        self.faults.pass(self.inner.remove(key, when)).await
    }
    async fn list(&self, kind: RecordKind, mut page: Page) -> Result<Vec<Versioned<Record>>> {
        // Small pages, so that lists are no snapshots.
        page.limit = 1;
        self.faults.pass(self.inner.list(kind, page)).await
    }
    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        self.inner.changes(since)
    }
}

#[async_trait]
impl<T: CredentialStore> CredentialReader for Faulty<T> {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        self.faults.pass(self.inner.read(key)).await
    }
}

#[async_trait]
impl<T: CredentialStore> CredentialStore for Faulty<T> {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version> {
        self.faults.pass(self.inner.put(key, secret, when)).await
    }
    async fn remove(&self, key: &CredentialKey) -> Result<()> {
        self.faults.pass(self.inner.remove(key)).await
    }
    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>> {
        self.faults.pass(self.inner.keys(prefix, after, limit)).await
    }
    async fn lease(&self, key: &CredentialKey, ttl: std::time::Duration) -> Result<Option<Lease>> {
        self.faults.pass(self.inner.lease(key, ttl)).await
    }
    async fn release(&self, lease: Lease) -> Result<()> {
        self.faults.pass(self.inner.release(lease)).await
    }
}

#[async_trait]
impl<T: Runtime> Runtime for Faulty<T> {
    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        self.faults.pass(self.inner.ensure(name, spec)).await
    }
    async fn remove(&self, name: &InstallName) -> Result<()> {
        self.faults.pass(self.inner.remove(name)).await
    }
    async fn list(&self) -> Result<Vec<InstallName>> {
        self.faults.pass(self.inner.list()).await
    }
    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        self.faults.pass(self.inner.endpoint(name)).await
    }
    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.inner.watch()
    }
}

#[async_trait]
impl<T: Gateway> Gateway for Faulty<T> {
    async fn publish(&self, publication: Publication) -> Result<()> {
        self.faults.pass(self.inner.publish(publication)).await
    }
    async fn apply(&self, changes: Vec<PublicationChange>) -> Result<()> {
        self.faults.pass(self.inner.apply(changes)).await
    }
    async fn withdraw(&self, name: &GatewayName) -> Result<()> {
        self.faults.pass(self.inner.withdraw(name)).await
    }
    async fn published(&self) -> Result<Vec<GatewayName>> {
        self.faults.pass(self.inner.published()).await
    }
}

#[async_trait]
impl<T: Discovery> Discovery for Faulty<T> {
    async fn snapshot(&self, endpoint: &Endpoint, credential: &UpstreamCredential) -> Result<ServerSnapshot> {
        self.faults.pass(self.inner.snapshot(endpoint, credential)).await
    }
}

#[async_trait]
impl<T: CredentialBroker> CredentialBroker for Faulty<T> {
    async fn credential(&self, context: &CredentialContext<'_>) -> Result<Arc<UpstreamCredential>> {
        self.faults.pass(self.inner.credential(context)).await
    }
    fn forget(&self, install: &Install, caller: Option<&Caller>) {
        self.inner.forget(install, caller);
    }
}
