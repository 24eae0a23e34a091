//! What other processes write is published here, and a change costs what it touches.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Change, Error, Gateway, GatewayName, Install, Key, Labels, Owner, Page, Precondition, Publication,
    PublicationChange, Record, RecordKind, Registry, RegistryExt, Result, Revision, ServerName, UserId, Version,
    Versioned,
    conformance::sample,
    memory::{MemoryGateway, MemoryRegistry},
    orchestrator::{InstallRequest, Orchestrator},
};

use super::{
    World,
    world::{request, server},
};

/// Another process: an orchestrator on the same registry with a gateway of its own.
fn other(world: &World) -> (Arc<Orchestrator>, Arc<MemoryGateway>) {
    let gateway = Arc::new(MemoryGateway::new());
    let mut parts = world.parts();
    parts.gateway = gateway.clone();
    (Arc::new(Orchestrator::new(parts)), gateway)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "not in time: {what}");
}

fn served(gateway: &MemoryGateway, name: &str) -> Option<usize> {
    let publication = gateway.publication(&sample::gateway_name(name))?;
    Some(publication.routes.iter().map(|route| route.installs.len()).sum())
}

/// Follows in the background, until it is dropped.
struct Following(tokio::task::JoinHandle<()>);

impl Following {
    fn start(orchestrator: &Arc<Orchestrator>) -> Self {
        let orchestrator = orchestrator.clone();
        Self(tokio::spawn(async move { orchestrator.follow().await }))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test]
async fn changes_of_others_are_published() {
    let world = World::new().await;
    let (follower, gateway) = other(&world);
    let _following = Following::start(&follower);
    until("gateways", || served(&gateway, "all") == Some(0)).await;
    let install = world.install().await;
    for name in ["all", "labels", "assigned"] {
        until(name, || served(&gateway, name) == Some(1)).await;
    }
    let mut changed = server();
    changed.labels = Labels::new([("stage", "other")]).expect("labels");
    world.put(changed).await;
    until("a label", || served(&gateway, "labels") == Some(0)).await;
    assert_eq!(served(&gateway, "all"), Some(1));
    world.orchestrator().remove(&install.name).await.expect("removed");
    until("a removal", || served(&gateway, "all") == Some(0)).await;
    let name = sample::gateway_name("all");
    world.orchestrator().remove_gateway(&name).await.expect("removed");
    until("a gateway", || served(&gateway, "all").is_none()).await;
}

#[tokio::test]
async fn follow_goes_on_where_it_ended() {
    let world = World::new().await;
    let (follower, gateway) = other(&world);
    let following = Following::start(&follower);
    until("gateways", || served(&gateway, "all") == Some(0)).await;
    drop(following);
    world.install().await;
    let _following = Following::start(&follower);
    until("an install", || served(&gateway, "all") == Some(1)).await;
}

#[tokio::test]
async fn gap_in_the_feed_reads_anew() {
    let world = World::new().await;
    let (follower, gateway) = other(&world);
    follower.publish_all().await.expect("published");
    world.install().await;
    // More removals than the registry remembers.
    for number in 0..10_001 {
        let server = sample::server(&format!("s{number}"));
        let key = Key::Server(server.name.clone());
        world.put(server).await;
        world.registry.remove(&key, Precondition::None).await.expect("removed");
    }
    let _following = Following::start(&follower);
    until("an install", || served(&gateway, "all") == Some(1)).await;
}

/// A gateway that fails some times.
#[derive(Debug)]
struct Flaky(Arc<MemoryGateway>, AtomicUsize);

impl Flaky {
    fn pass(&self) -> Result<()> {
        let left = self
            .1
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_or(Ok(()), |_| Err(Error::unavailable("the gateway", "it starts")))
    }
}

#[async_trait]
impl Gateway for Flaky {
    async fn publish(&self, publication: Publication) -> Result<()> {
        self.pass()?;
        self.0.publish(publication).await
    }

    async fn apply(&self, changes: Vec<PublicationChange>) -> Result<()> {
        self.pass()?;
        self.0.apply(changes).await
    }

    async fn withdraw(&self, name: &GatewayName) -> Result<()> {
        self.pass()?;
        self.0.withdraw(name).await
    }

    async fn published(&self) -> Result<Vec<GatewayName>> {
        self.0.published().await
    }
}

#[tokio::test]
async fn gateway_that_failed_is_told_again() {
    let world = World::new().await;
    let gateway = Arc::new(MemoryGateway::new());
    let mut parts = world.parts();
    parts.gateway = Arc::new(Flaky(gateway.clone(), AtomicUsize::new(5)));
    let follower = Arc::new(Orchestrator::new(parts));
    let _following = Following::start(&follower);
    for name in ["all", "labels", "assigned"] {
        until(name, || served(&gateway, name) == Some(0)).await;
    }
}

#[tokio::test]
async fn lost_publication_is_published_whole() {
    let world = World::new().await;
    let (orchestrator, gateway) = other(&world);
    orchestrator.publish_all().await.expect("published");
    gateway.withdraw(&sample::gateway_name("all")).await.expect("lost");
    orchestrator.install(request()).await.expect("installed");
    assert_eq!(served(&gateway, "all"), Some(1));
}

/// Counts what is read of a registry.
#[derive(Debug, Default)]
struct Counting {
    inner: Arc<MemoryRegistry>,
    lists: AtomicUsize,
    gets: AtomicUsize,
}

#[async_trait]
impl Registry for Counting {
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.inner.get(key).await
    }
    async fn put(&self, record: Record, when: Precondition) -> Result<Version> {
        self.inner.put(record, when).await
    }
    async fn remove(&self, key: &Key, when: Precondition) -> Result<()> {
        self.inner.remove(key, when).await
    }
    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.inner.list(kind, page).await
    }
    async fn installs_of(
        &self,
        server: &ServerName,
        owner: Option<&Owner>,
        page: Page,
    ) -> Result<Vec<Versioned<Install>>> {
        self.inner.installs_of(server, owner, page).await
    }
    async fn revision(&self) -> Result<Revision> {
        self.inner.revision().await
    }
    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>> {
        self.inner.changes(since)
    }
}

#[tokio::test]
async fn change_reads_what_it_touches() {
    let world = World::new().await;
    let registry = Arc::new(Counting {
        inner: world.registry.clone(),
        ..Counting::default()
    });
    let mut parts = world.parts();
    parts.registry = registry.clone();
    let orchestrator = Orchestrator::new(parts);
    let mut costs = Vec::new();
    for number in 0..60 {
        let mut request = InstallRequest::new(server().name, Owner::Personal(user(number)));
        request.answers = super::world::request().answers;
        let before = registry.gets.load(Ordering::SeqCst);
        orchestrator.install(request).await.expect("installed");
        if number == 0 {
            registry.lists.store(0, Ordering::SeqCst);
        } else {
            costs.push(registry.gets.load(Ordering::SeqCst) - before);
        }
    }
    let mut changed = server();
    changed.labels = Labels::new([("stage", "other")]).expect("labels");
    orchestrator.put_server(changed, Precondition::None).await.expect("put");
    assert_eq!(registry.lists.load(Ordering::SeqCst), 0, "nothing is read as a whole");
    assert!(costs.iter().all(|cost| *cost == costs[0]), "{costs:?}");
    let shared = world.registry.installs().await.expect("installs");
    assert!(
        shared
            .iter()
            .all(|install| install.value.tools.is_shared_with(&shared[0].value.tools))
    );
}

fn user(number: usize) -> UserId {
    UserId::parse(format!("user-{number}")).expect("a user")
}
