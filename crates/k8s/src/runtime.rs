//! The runtime on Kubernetes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use portolan_core::{
    Clock, CredentialReader, Endpoint, Error, ExecStreams, Failure, FailureKind, InstallName, LogLine, LogQuery,
    Restart, Result, RunSpec, Runtime, RuntimeExec, RuntimeLogs, RuntimeRestart, RuntimeScale, ServerSpec, StatusEvent,
    SystemClock, TeamId,
};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    config::KubeConfig,
    connect::{Connect, HostPod, KubeClients},
    deployment_state::{DeploymentState, not_found},
    deployment_store::DeploymentStore,
    exec, logs,
    plan::{DeploymentPlan, PlanContext},
    pull_secrets::{self, PullSecret},
    render::{self, RestartRequest},
    restart,
    runtime_context::RuntimeContext,
    scale_to_zero,
};

/// A [`Runtime`] on Kubernetes: each install, or all installs of a multi-tenant server, is a Deployment with its Service,
/// Secret and network policy.
///
/// - Objects are applied by server-side apply, and only if they differ from the cluster: a host that restarts changes nothing
///   that runs. Changes by others are reverted, except for the number of replicas, which belongs to whoever scales the
///   Deployment unless the spec sets it.
/// - All state comes from watches. [`endpoint`](Runtime::endpoint) and [`watch`](Runtime::watch) work while the API server is
///   unavailable.
/// - [`list`](Runtime::list) includes installs that were ensured before the host restarted, found by their labels. It waits for
///   the first response of the cluster, at most for [`KubeConfig::deadline`].
/// - Objects of others are never changed. An object that has the name of ours fails the deployment with
///   [`FailureKind::Config`].
/// - Several replicas of a host may share a namespace. An install that one replica removes is dropped by the others.
/// - Servers outlive the runtime: dropping it ends watches, port-forwards and attachments, but no server.
///
/// The crate documentation lists the tracing events.
pub struct KubeRuntime {
    store: Arc<DeploymentStore>,
    /// The watches. They end with the runtime.
    _tasks: JoinSet<()>,
    /// Removals in progress. They continue if their callers do not wait, and end with the runtime.
    removals: Mutex<JoinSet<()>>,
}

impl KubeRuntime {
    /// Creates a runtime for the clusters of `clients` and starts its watches.
    ///
    /// ```no_run
    /// # async fn f() -> portolan_core::Result<()> {
    /// use std::sync::Arc;
    /// use portolan_core::memory::MemoryCredentials;
    /// use portolan_k8s::{Connect, KubeClients, KubeConfig, KubeRuntime};
    ///
    /// let clients = KubeClients::connect(Connect::InCluster).await?;
    /// let config = KubeConfig::in_namespace("mcp-servers");
    /// let runtime = KubeRuntime::new(clients, config, Arc::new(MemoryCredentials::new()));
    /// runtime.check().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(clients: impl Into<KubeClients>, config: KubeConfig, credentials: Arc<dyn CredentialReader>) -> Self {
        Self::with_clock(clients, config, credentials, Arc::new(SystemClock))
    }

    /// Creates a runtime with a clock of the host, for tests of its own.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn with_clock(
        clients: impl Into<KubeClients>,
        mut config: KubeConfig,
        credentials: Arc<dyn CredentialReader>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let clients = clients.into();
        let host = HostPod::find().filter(|_| clients.home.is_in_cluster);
        for gateway in &mut config.gateways {
            let own = host.as_ref().map(|host| host.namespace.clone());
            gateway.namespace = gateway.namespace.take().or(own);
        }
        let context = RuntimeContext::new(config, credentials, clock, host, clients.home.client.clone());
        let store = Arc::new(DeploymentStore::new(Arc::new(context), &clients));
        let mut tasks = JoinSet::new();
        store.watch(&mut tasks);
        Self {
            store,
            _tasks: tasks,
            removals: Mutex::default(),
        }
    }

    /// Finds the cluster, creates a runtime, and waits until every namespace was read once.
    ///
    /// ```no_run
    /// # async fn f() -> portolan_core::Result<()> {
    /// use std::sync::Arc;
    /// use portolan_core::memory::MemoryCredentials;
    /// use portolan_k8s::{Connect, KubeConfig, KubeRuntime};
    ///
    /// let config = KubeConfig::in_namespace("mcp-servers");
    /// let runtime = KubeRuntime::connect(Connect::Infer, config, Arc::new(MemoryCredentials::new())).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for an invalid configuration, before the cluster is contacted; [`Error::Unavailable`] if the cluster
    /// cannot be found or read.
    pub async fn connect(connect: Connect, config: KubeConfig, credentials: Arc<dyn CredentialReader>) -> Result<Self> {
        config.check()?;
        let clients = KubeClients::connect(connect).await?;
        let runtime = Self::new(clients, config, credentials);
        runtime.check().await?;
        Ok(runtime)
    }

    /// Checks the configuration, and waits until every namespace was read once, at most for [`KubeConfig::deadline`].
    ///
    /// # Errors
    ///
    /// The errors of [`KubeConfig::check`]; [`Error::Unavailable`] with the reason why a namespace cannot be read.
    pub async fn check(&self) -> Result<()> {
        self.store.context.check()?;
        self.wait_until_synced().await
    }

    async fn wait_until_synced(&self) -> Result<()> {
        for namespace in &self.store.namespaces {
            namespace.wait_synced_within(self.store.context.config.deadline).await?;
        }
        Ok(())
    }

    /// Lists the image pull secrets that were created from registry accounts; only those of `teams` unless it is `None`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] if the namespaces cannot be read within [`KubeConfig::deadline`].
    pub async fn pull_secrets(&self, teams: Option<&[TeamId]>) -> Result<Vec<PullSecret>> {
        self.wait_until_synced().await?;
        Ok(pull_secrets::list(&self.store.namespaces, teams))
    }

    /// Returns the Deployment of `name` as `namespace/name`; `None` if it does not exist yet.
    pub fn deployment(&self, name: &InstallName) -> Option<String> {
        let live = self.store.deployment_of_install(name)?.live()?;
        Some(format!(
            "{}/{}",
            live.metadata.namespace.as_deref()?,
            live.metadata.name.as_deref()?
        ))
    }

    /// Removes the user `name` from a deployment, in a task that continues if the caller does not wait.
    fn release(&self, deployment: Arc<DeploymentState>, name: InstallName) -> oneshot::Receiver<Result<()>> {
        let (done, outcome) = oneshot::channel();
        let store = self.store.clone();
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        while removals.try_join_next().is_some() {}
        removals.spawn(async move {
            let released = store.release(&deployment, &name).await;
            if let Err(error) = &released {
                let namespace = deployment.namespace.name();
                tracing::warn!(install = %name, namespace, %error, "removal failed");
            }
            // The caller may be gone.
            drop(done.send(released));
        });
        outcome
    }

    /// Finds the deployment of an install that was ensured, or that the cluster has.
    async fn find_deployment(&self, name: &InstallName) -> Result<Arc<DeploymentState>> {
        if let Some(deployment) = self.store.deployment_of_install(name) {
            return Ok(deployment);
        }
        self.wait_until_synced().await?;
        self.store.deployment_of_install(name).ok_or_else(|| not_found(name))
    }
}

#[async_trait]
impl Runtime for KubeRuntime {
    fn check(&self, server: &ServerSpec) -> Result<()> {
        for warning in render::check(server, &self.store.context.config)? {
            tracing::warn!(server = %server.name, warning, "a part of the Deployment YAML has no effect");
        }
        Ok(())
    }

    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        let context = &self.store.context;
        context.check()?;
        let environment = context.config.environment(spec.kubernetes.environment.as_deref())?;
        let plan_context = PlanContext {
            config: &context.config,
            environment,
            scheduling: &Default::default(),
        };
        DeploymentPlan::check(plan_context, (name, spec))?;
        for former in self.store.set_desired(name, spec, environment) {
            drop(self.release(former, *name));
        }
        Ok(())
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        self.wait_until_synced().await?;
        let mut deployments = self.store.deployments_of(name);
        deployments.extend(self.store.leftovers_of(name));
        for deployment in deployments {
            self.release(deployment, *name)
                .await
                .unwrap_or_else(|_| Err(stopped(name)))?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        self.wait_until_synced().await?;
        Ok(self.store.users().into_iter().collect())
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let deployment = self.store.deployment_of_install(name).ok_or_else(|| not_found(name))?;
        deployment.endpoint(name)
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.store.context.board.watch()
    }

    fn logs(&self) -> Option<&dyn RuntimeLogs> {
        Some(self)
    }

    fn restart(&self) -> Option<&dyn RuntimeRestart> {
        Some(self)
    }

    fn exec(&self) -> Option<&dyn RuntimeExec> {
        Some(self)
    }

    fn scale(&self) -> Option<&dyn RuntimeScale> {
        Some(self)
    }
}

impl RuntimeLogs for KubeRuntime {
    fn logs(&self, name: &InstallName, query: LogQuery) -> BoxStream<'static, Result<LogLine>> {
        logs::read(&self.store, *name, query)
    }
}

#[async_trait]
impl RuntimeRestart for KubeRuntime {
    async fn restart(&self, name: &InstallName, kind: Restart) -> Result<()> {
        let deployment = self.find_deployment(name).await?;
        if kind == Restart::Reset {
            return restart::reset(&deployment).await;
        }
        let request = RestartRequest::new(self.store.context.now()).with_fresh_pull(kind == Restart::FreshPull);
        restart::rolling_restart(&deployment, request).await
    }
}

#[async_trait]
impl RuntimeExec for KubeRuntime {
    async fn exec(&self, name: &InstallName, command: &[String]) -> Result<ExecStreams> {
        let deployment = self.find_deployment(name).await?;
        exec::start(&deployment, name, command).await
    }
}

#[async_trait]
impl RuntimeScale for KubeRuntime {
    async fn sleep(&self, name: &InstallName) -> Result<()> {
        let deployment = self.find_deployment(name).await?;
        let slept = scale_to_zero::sleep(&deployment).await;
        slept.map_err(|failure| not_ready(name, failure))
    }

    async fn wake(&self, name: &InstallName) -> Result<()> {
        let deployment = self.find_deployment(name).await?;
        let woken = scale_to_zero::wake(&deployment).await;
        woken.map_err(|failure| not_ready(name, failure))
    }
}

fn stopped(name: &InstallName) -> Error {
    not_ready(
        name,
        Failure::new(FailureKind::Stopped, "the runtime ended before the removal finished"),
    )
}

fn not_ready(name: &InstallName, failure: Failure) -> Error {
    Error::NotReady {
        what: "deployment",
        name: name.to_string(),
        failure,
    }
}

impl fmt::Debug for KubeRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeRuntime")
            .field("namespaces", &self.store.namespaces)
            .field("board", &self.store.context.board)
            .finish_non_exhaustive()
    }
}
