//! A namespace for each test, and a runtime with the permissions of `deploy/rbac.yaml`.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use http::{Method, Request, Response};
use k8s_openapi::{
    api::{
        authentication::v1::{TokenRequest, TokenRequestSpec},
        core::v1::{Namespace, Pod, ServiceAccount},
        rbac::v1::{Role, RoleBinding},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client, Config,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    client::{Body, ClientBuilder},
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use portolan_core::{InstallName, RunSpec, Runtime, Status, SystemClock, memory::MemoryCredentials};
use portolan_k8s::{BridgeSource, KubeConfig, KubeRuntime};
use serde::de::DeserializeOwned;
use tokio::sync::{RwLock, RwLockReadGuard};
use tower::{Layer, Service};

use crate::{servers, wait::wait_for_status};

const RBAC: &str = include_str!("../../../../deploy/rbac.yaml");

/// The permissions of the credential store.
pub(crate) const CREDENTIALS_RBAC: &str = include_str!("../../../../deploy/credentials.yaml");

/// The permissions of keys in a Secret.
pub(crate) const KEYS_RBAC: &str = include_str!("../../../../deploy/keys.yaml");

/// A namespace for one test, with clients.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) namespace: String,
    /// The administrator.
    pub(crate) admin: ClientHandle,
    /// The service account of `deploy/rbac.yaml`.
    pub(crate) client: ClientHandle,
    /// The connection as that account.
    config: Config,
    token: String,
    /// The API calls of that account.
    pub(crate) calls: Arc<Calls>,
    pub(crate) credentials: Arc<MemoryCredentials>,
}

/// A client with a `Debug` that shows nothing.
#[derive(Clone)]
pub(crate) struct ClientHandle(pub(crate) Client);

impl std::fmt::Debug for ClientHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

/// Held by every test, and alone by one that takes the API server away from all of them.
static CLUSTER: RwLock<()> = RwLock::const_new(());

/// Runs `test` in a sandbox while no other test uses the cluster.
pub(crate) async fn exclusive<F>(name: &str, test: impl FnOnce(Arc<Sandbox>) -> F)
where
    F: Future<Output = ()>,
{
    let _alone = CLUSTER.write().await;
    in_sandbox(name, test).await;
}

/// Runs `test` in a sandbox, and deletes the sandbox even if the test fails.
pub(crate) async fn with_sandbox<F>(name: &str, test: impl FnOnce(Arc<Sandbox>) -> F)
where
    F: Future<Output = ()>,
{
    let _shared = CLUSTER.read().await;
    in_sandbox(name, test).await;
}

/// Locks the cluster for a test that cannot be a closure.
pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    CLUSTER.read().await
}

/// Runs `test` in a sandbox whose account may do what a file of `deploy/` allows.
pub(crate) async fn in_sandbox_for<F>(name: &str, rules: &str, test: impl FnOnce(Arc<Sandbox>) -> F)
where
    F: Future<Output = ()>,
{
    let _shared = CLUSTER.read().await;
    run(Sandbox::open_for(name, rules).await, test).await;
}

/// Runs `test` in a sandbox of a test that holds the lock already.
pub(crate) async fn in_sandbox<F>(name: &str, test: impl FnOnce(Arc<Sandbox>) -> F)
where
    F: Future<Output = ()>,
{
    run(Sandbox::open(name).await, test).await;
}

async fn run<F>(sandbox: Sandbox, test: impl FnOnce(Arc<Sandbox>) -> F)
where
    F: Future<Output = ()>,
{
    let sandbox = Arc::new(sandbox);
    let outcome = AssertUnwindSafe(test(sandbox.clone())).catch_unwind().await;
    sandbox.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one thing that a test is told by its environment"
)]
pub(crate) fn kubeconfig() -> PathBuf {
    let path = std::env::var_os("PORTOLAN_KUBECONFIG");
    path.expect("PORTOLAN_KUBECONFIG names a kubeconfig; `cargo xtask test --only cluster` sets it")
        .into()
}

/// The configuration of the administrator.
pub(crate) async fn admin_config() -> Config {
    let file = Kubeconfig::read_from(kubeconfig()).expect("PORTOLAN_KUBECONFIG is a kubeconfig");
    let options = KubeConfigOptions::default();
    let mut config = Config::from_custom_kubeconfig(file, &options)
        .await
        .expect("a usable context");
    config.default_retry = false;
    config
}

/// The configuration of the account with this token.
pub(crate) async fn account_config(token: String) -> Config {
    let mut config = admin_config().await;
    config.auth_info = AuthInfo {
        token: Some(token.into()),
        ..AuthInfo::default()
    };
    config
}

impl Sandbox {
    pub(crate) async fn open(name: &str) -> Self {
        Self::open_with(name, &RBAC.split("\n---\n").collect::<Vec<_>>()).await
    }

    /// Opens a sandbox whose account may do what a file of `deploy/` allows, and nothing else.
    pub(crate) async fn open_for(name: &str, rules: &str) -> Self {
        let account = RBAC
            .split("\n---\n")
            .find(|document| kind_of(document) == "ServiceAccount");
        let rules = rules.split("\n---\n");
        Self::open_with(name, &account.into_iter().chain(rules).collect::<Vec<_>>()).await
    }

    async fn open_with(name: &str, documents: &[&str]) -> Self {
        let admin = Client::try_from(admin_config().await).expect("a client");
        let id = InstallName::new(&SystemClock).to_string();
        let namespace = format!("portolan-test-{name}-{}", &id[id.len() - 6..]);
        let labels = BTreeMap::from([
            ("app.kubernetes.io/part-of".to_owned(), "portolan-test".to_owned()),
            ("pod-security.kubernetes.io/enforce".to_owned(), "restricted".to_owned()),
        ]);
        let object = Namespace {
            metadata: ObjectMeta {
                name: Some(namespace.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let namespaces: Api<Namespace> = Api::all(admin.clone());
        namespaces
            .create(&PostParams::default(), &object)
            .await
            .expect("a namespace");
        let token = service_account(&admin, &namespace, documents).await;
        let config = account_config(token.clone()).await;
        let calls = Arc::new(Calls::default());
        let counted = ClientBuilder::try_from(config.clone())
            .expect("a client")
            .with_layer(&CountingLayer(calls.clone()));
        Self {
            client: ClientHandle(counted.build()),
            config,
            token,
            namespace,
            admin: ClientHandle(admin),
            calls,
            credentials: Arc::new(MemoryCredentials::new()),
        }
    }

    /// Deletes the namespace, with a new client: the tokio runtime of the others may have ended.
    pub(crate) async fn close(&self) {
        let admin = Client::try_from(admin_config().await).expect("a client");
        let namespaces: Api<Namespace> = Api::all(admin);
        namespaces
            .delete(&self.namespace, &DeleteParams::background())
            .await
            .expect("the namespace goes");
    }

    /// Deletes the namespace in a `drop`, where nothing can be awaited.
    pub(crate) fn close_from_drop(self: &Arc<Self>) {
        let sandbox = self.clone();
        let going = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(sandbox.close());
        });
        // A case that failed has said so already.
        let _ = going.join();
    }

    /// Returns a configuration for a small machine.
    pub(crate) fn config(&self) -> KubeConfig {
        let mut config = KubeConfig::in_namespace(&self.namespace);
        let small = [("cpu", "5m"), ("memory", "16Mi"), ("ephemeral-storage", "1Mi")];
        config.base_image = servers::NODE.into();
        config.bridge = BridgeSource::Image(servers::BRIDGE.into());
        config.requests = small.map(|(name, quantity)| (name.into(), quantity.into())).into();
        config
    }

    pub(crate) fn runtime(&self) -> KubeRuntime {
        self.runtime_with(self.config())
    }

    pub(crate) fn runtime_with(&self, config: KubeConfig) -> KubeRuntime {
        KubeRuntime::new(self.client.0.clone(), config, self.credentials.clone())
    }

    /// A runtime whose connections are its own, as if it ran in another process.
    pub(crate) fn separate_runtime(&self) -> KubeRuntime {
        let client = Client::try_from(self.config.clone()).expect("a client");
        KubeRuntime::new(client, self.config(), self.credentials.clone())
    }

    /// The token of the account.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// The objects of one kind, as the administrator sees them.
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.admin.0.clone(), &self.namespace)
    }

    /// The pods that are not on their way out, by uid.
    pub(crate) async fn pods(&self) -> Vec<Pod> {
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .expect("pods")
            .items;
        pods.into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none())
            .collect()
    }

    pub(crate) async fn pod_uids(&self) -> Vec<String> {
        let mut uids: Vec<_> = self
            .pods()
            .await
            .into_iter()
            .filter_map(|pod| pod.metadata.uid)
            .collect();
        uids.sort_unstable();
        uids
    }
}

/// Makes the account of `documents` in `namespace`, and gives a token for it.
async fn service_account(admin: &Client, namespace: &str, documents: &[&str]) -> String {
    for document in documents {
        let document = document
            .replace("mcp-servers", namespace)
            .replace("mcp-credentials", namespace);
        match kind_of(&document) {
            "ServiceAccount" => apply::<ServiceAccount>(admin, namespace, &document).await,
            "Role" => apply::<Role>(admin, namespace, &document).await,
            "RoleBinding" => apply::<RoleBinding>(admin, namespace, &document).await,
            other => panic!("deploy/ has a {other}"),
        }
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            expiration_seconds: Some(3600),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let issued = accounts
        .create_token_request("portolan", &PostParams::default(), &request)
        .await
        .expect("a token");
    issued.status.and_then(|status| status.token).expect("an issued token")
}

fn kind_of(document: &str) -> &str {
    let mut lines = document.lines();
    lines.find_map(|line| line.strip_prefix("kind: ")).expect("a kind")
}

async fn apply<K>(admin: &Client, namespace: &str, document: &str)
where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let object: K = serde_saphyr::from_str(document).expect("deploy/ is well formed");
    let api: Api<K> = Api::namespaced(admin.clone(), namespace);
    let name = object.meta().name.clone().expect("a name");
    let params = PatchParams::apply("portolan-test").force();
    api.patch(&name, &params, &Patch::Apply(&object))
        .await
        .expect("applied");
}

/// The recorded API calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    writes: AtomicUsize,
    reads: AtomicUsize,
    log: Mutex<Vec<String>>,
}

impl Calls {
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::SeqCst)
    }

    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }

    /// The writes, as `METHOD path`.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().expect("no panic").clone()
    }

    fn note(&self, request: &Request<Body>) {
        let is_read = request.method() == Method::GET;
        let counter = if is_read { &self.reads } else { &self.writes };
        counter.fetch_add(1, Ordering::SeqCst);
        if !is_read {
            let line = format!("{} {}", request.method(), request.uri().path());
            self.log.lock().expect("no panic").push(line);
        }
    }
}

/// Counts calls.
struct CountingLayer(Arc<Calls>);

struct CountingService<S> {
    inner: S,
    calls: Arc<Calls>,
}

impl<S> Layer<S> for CountingLayer {
    type Service = CountingService<S>;

    fn layer(&self, inner: S) -> CountingService<S> {
        let calls = self.0.clone();
        CountingService { inner, calls }
    }
}

impl<S, B> Service<Request<Body>> for CountingService<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        self.calls.note(&request);
        self.inner.call(request)
    }
}

pub(crate) fn name() -> InstallName {
    InstallName::new(&SystemClock)
}

/// Ensures `spec` and waits until it is ready.
pub(crate) async fn ready(runtime: &KubeRuntime, spec: &RunSpec) -> InstallName {
    let name = name();
    runtime.ensure(&name, spec).await.expect("ensure");
    wait_for_status(runtime, &name, Duration::from_secs(60), |status| {
        *status == Status::Ready
    })
    .await;
    name
}
