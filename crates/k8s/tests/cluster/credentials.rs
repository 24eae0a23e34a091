//! The credential store on a real cluster, as the account of `deploy/credentials.yaml`.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use k8s_openapi::api::{coordination::v1::Lease as KubeLease, core::v1::Secret as KubeSecret, rbac::v1::Role};
use kube::api::{ListParams, PostParams};
use portolan_core::{
    CredentialKey, CredentialReader, CredentialStore, Error, ExchangeError, Lease, Precondition, RefreshGuard,
    RefreshOptions, Result, Secret, SystemClock, Version, Versioned,
};
use portolan_k8s::{KubeCredentials, KubeCredentialsConfig};
use tokio::sync::RwLockReadGuard;

use crate::{
    sandbox::{self, CREDENTIALS_RBAC, Sandbox},
    wait::eventually,
};

portolan_core::conformance::credential_suite!(async || SandboxStore::open("creds").await);

const TTL: Duration = Duration::from_secs(60);

/// A store that deletes its sandbox when dropped: a case of the suite owns only the store.
#[derive(Debug)]
struct SandboxStore {
    store: KubeCredentials,
    sandbox: Arc<Sandbox>,
    _shared: RwLockReadGuard<'static, ()>,
}

impl SandboxStore {
    async fn open(name: &str) -> Self {
        let shared = sandbox::shared().await;
        let sandbox = Sandbox::open_for(name, CREDENTIALS_RBAC).await;
        let store = store(&sandbox);
        eventually("the API server knows the Role", Duration::from_secs(20), async || {
            store.read(&key("never")).await.ok()
        })
        .await;
        Self {
            store,
            sandbox: Arc::new(sandbox),
            _shared: shared,
        }
    }

    async fn put(&self, path: &str, text: &str) -> Result<Version> {
        self.store.put(&key(path), Secret::new(text), Precondition::None).await
    }
}

fn store(sandbox: &Sandbox) -> KubeCredentials {
    let config = KubeCredentialsConfig::in_namespace(&sandbox.namespace);
    KubeCredentials::new(sandbox.client.0.clone(), config).expect("a configuration")
}

fn key(path: &str) -> CredentialKey {
    CredentialKey::parse(path).expect("a key")
}

impl Drop for SandboxStore {
    fn drop(&mut self) {
        self.sandbox.close_from_drop();
    }
}

#[async_trait]
impl CredentialReader for SandboxStore {
    async fn read(&self, key: &CredentialKey) -> Result<Option<Versioned<Secret>>> {
        self.store.read(key).await
    }
}

#[async_trait]
impl CredentialStore for SandboxStore {
    async fn put(&self, key: &CredentialKey, secret: Secret, when: Precondition) -> Result<Version> {
        self.store.put(key, secret, when).await
    }

    async fn remove(&self, key: &CredentialKey) -> Result<()> {
        self.store.remove(key).await
    }

    async fn keys(&self, prefix: &str, after: Option<&CredentialKey>, limit: usize) -> Result<Vec<CredentialKey>> {
        self.store.keys(prefix, after, limit).await
    }

    async fn lease(&self, key: &CredentialKey, ttl: Duration) -> Result<Option<Lease>> {
        self.store.lease(key, ttl).await
    }

    async fn release(&self, lease: Lease) -> Result<()> {
        self.store.release(lease).await
    }
}

/// Takes each verb of the Role away in turn: what needs it fails and names it, and nothing else does.
#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_needed_and_named() {
    let sandbox = SandboxStore::open("verbs").await;
    let roles = sandbox.sandbox.api::<Role>();
    let whole = roles.get("portolan-credentials").await.expect("the Role");
    for (index, rule) in whole.rules.clone().expect("rules").into_iter().enumerate() {
        for verb in &rule.verbs {
            let mut less = roles.get("portolan-credentials").await.expect("the Role");
            let mut rules = whole.rules.clone().expect("rules");
            rules[index].verbs.retain(|other| other != verb);
            less.rules = Some(rules);
            let params = PostParams::default();
            roles
                .replace("portolan-credentials", &params, &less)
                .await
                .expect("written");
            let resource = &rule.resources.as_ref().expect("resources")[0];
            let expected = format!(
                "forbidden: the service account \"portolan\" may not \"{verb}\" \"{resource}\" in \"{}\"; \
                 deploy/credentials.yaml has the rule",
                sandbox.sandbox.namespace
            );
            // The API server needs a moment to know the Role.
            eventually(&expected, Duration::from_secs(20), async || {
                let error = use_every_verb(&sandbox).await.err()?;
                assert!(matches!(error, Error::Backend { .. }), "{error:?}");
                error.report().to_string().contains(&expected).then_some(())
            })
            .await;
        }
    }
}

async fn use_every_verb(sandbox: &SandboxStore) -> Result<()> {
    sandbox.put("verbs/a", "one").await?;
    sandbox.put("verbs/a", "two").await?;
    sandbox.keys("verbs/", None, 10).await?;
    sandbox.remove(&key("verbs/a")).await?;
    if let Some(lease) = sandbox.lease(&key("verbs/a"), TTL).await? {
        sandbox.release(lease).await?;
    }
    // A lease that ends by itself is taken over with `update`.
    let path = key("verbs/taken");
    sandbox.lease(&path, Duration::ZERO).await?;
    tokio::time::sleep(Duration::from_millis(5)).await;
    sandbox.lease(&path, Duration::ZERO).await?;
    sandbox.lease(&path, Duration::ZERO).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn longest_secret_fits() {
    let sandbox = SandboxStore::open("long").await;
    let longest = "x".repeat((1 << 20) - 1024);
    for _ in 0..10 {
        sandbox.put("a", &longest).await.expect("it fits");
    }
    let found = sandbox.read(&key("a")).await.expect("read").expect("is there");
    assert!(found.value.reveal() == longest);
    let error = sandbox.put("a", &format!("{longest}x")).await.expect_err("too long");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_others_are_left_alone() {
    let sandbox = SandboxStore::open("foreign").await;
    sandbox.put("a", "ours").await.expect("put");
    let api = sandbox.sandbox.api::<KubeSecret>();
    let mut other = api.list(&ListParams::default()).await.expect("a list").items.remove(0);
    let name = other.metadata.name.clone().expect("a name");
    other.metadata.labels = None;
    let other = api
        .replace(&name, &PostParams::default(), &other)
        .await
        .expect("written");
    assert_eq!(sandbox.read(&key("a")).await.expect("read"), None);
    assert!(sandbox.keys("", None, 10).await.expect("keys").is_empty());
    sandbox.remove(&key("a")).await.expect("nothing to remove");
    let error = sandbox.put("a", "again").await.expect_err("taken");
    assert!(error.report().to_string().contains(&name), "{error:?}");
    assert_eq!(api.get(&name).await.expect("it is there"), other);
}

#[tokio::test(flavor = "multi_thread")]
async fn fence_grows_over_removal_by_others() {
    let sandbox = SandboxStore::open("fence").await;
    let api = sandbox.sandbox.api::<KubeLease>();
    let mut last = 0;
    for _ in 0..3 {
        let lease = sandbox.lease(&key("a"), TTL).await.expect("lease").expect("free");
        assert!(lease.fence > last, "{} after {last}", lease.fence);
        last = lease.fence;
        let name = api.list(&ListParams::default()).await.expect("a list").items[0]
            .metadata
            .name
            .clone();
        api.delete(&name.expect("a name"), &Default::default())
            .await
            .expect("deleted");
    }
}

/// Two programs append to one log; a tenth of the calls is given up at some moment.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_lose_nothing() {
    let sandbox = Arc::new(SandboxStore::open("replicas").await);
    sandbox.put("a", "").await.expect("put");
    let writers = (0..4).map(|writer| {
        let sandbox = sandbox.clone();
        tokio::spawn(async move { append(&store(&sandbox.sandbox), writer).await })
    });
    let mut outcomes = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        outcomes.extend(writer.await.expect("no panic"));
    }
    let found = sandbox.read(&key("a")).await.expect("read").expect("is there");
    for (entry, outcome) in outcomes {
        let count = found.value.reveal().lines().filter(|line| *line == entry).count();
        match outcome {
            Some(Ok(_)) => assert_eq!(count, 1, "{entry} was told as written"),
            Some(Err(Error::Conflict { .. })) => assert_eq!(count, 0, "{entry} was told as lost"),
            other => assert!(count <= 1, "{entry}: {other:?}"),
        }
    }
}

/// Appends until 25 appends succeeded; returns what became of each, `None` of one that was given up.
async fn append(store: &KubeCredentials, writer: usize) -> Vec<(String, Option<Result<Version>>)> {
    let (mut outcomes, mut successes) = (Vec::new(), 0);
    for number in 0.. {
        if successes == 25 {
            break;
        }
        let now = store.read(&key("a")).await.expect("read").expect("is there");
        let entry = format!("{writer}-{number}");
        let log = Secret::new(format!("{}{entry}\n", now.value.reveal()));
        let path = key("a");
        let written = store.put(&path, log, Precondition::Version(now.version));
        let limit = if number % 10 == 9 {
            number * 37 % 6_000
        } else {
            60_000_000
        };
        let outcome = tokio::time::timeout(Duration::from_micros(limit), written).await.ok();
        successes += usize::from(matches!(outcome, Some(Ok(_))));
        outcomes.push((entry, outcome));
    }
    outcomes
}

/// Four replicas refresh one credential at once, at a provider that accepts each refresh token once.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_token_is_spent_once() {
    let sandbox = Arc::new(SandboxStore::open("refresh").await);
    let path = key("github/token");
    let mut used = sandbox.put("github/token", "0").await.expect("put");
    let spent = Arc::new(Mutex::new(0_u32));
    for round in 1..=10 {
        let replicas = (0..4).map(|_| {
            let (spent, path) = (spent.clone(), path.clone());
            let store = Arc::new(store(&sandbox.sandbox));
            let guard = RefreshGuard::new(store, Arc::new(SystemClock), RefreshOptions::default());
            tokio::spawn(async move {
                let exchange = move |current: Secret| async move {
                    let mut spent = spent.lock().expect("no panic");
                    assert_eq!(current.reveal(), spent.to_string(), "a token is spent twice");
                    *spent += 1;
                    Ok::<_, ExchangeError>(Secret::new(spent.to_string()))
                };
                guard.refresh(&path, used, exchange).await.expect("refreshed")
            })
        });
        let mut versions = Vec::new();
        for replica in replicas.collect::<Vec<_>>() {
            let refreshed = replica.await.expect("no panic");
            assert_eq!(refreshed.value.reveal(), round.to_string());
            versions.push(refreshed.version);
        }
        assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");
        used = versions[0];
    }
}
