//! The runtime on Kubernetes: its contracts over what the other rooms do.

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

/// A [`Runtime`] on Kubernetes: each deployment is a Deployment with what belongs to it.
///
/// - What is wanted is applied by server-side apply, and only where it differs from what the cluster has: a host that
///   starts anew touches nothing that runs. What others change of it is repaired; the number of copies is left to whoever
///   scales it, unless the spec names one.
/// - Everything is known from watches. [`endpoint`](Runtime::endpoint) and [`watch`](Runtime::watch) go on while the API
///   server is away.
/// - [`list`](Runtime::list) gives also what was ensured before the host was started anew: it is found by its labels.
///   Before the first answer of the cluster it waits, at most for [`KubeConfig::deadline`].
/// - A stranger's object is never touched. One that has the name of ours fails the deployment with
///   [`FailureKind::Config`](portolan_core::FailureKind::Config).
/// - Several replicas of a host may run over one namespace. What one removes, the others give up.
/// - Servers outlive the runtime: dropping it ends watches, port-forwards and attachments, and no server.
pub struct KubeRuntime {
    hub: Arc<DeploymentStore>,
    /// The watches. They end with the runtime.
    _tasks: JoinSet<()>,
    /// Removals under way, which go on where their callers do not wait for them, and end with the runtime.
    removals: Mutex<JoinSet<()>>,
}

impl KubeRuntime {
    /// A runtime over the cluster that `clients` lead to, which it watches from now on.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(clients: impl Into<KubeClients>, config: KubeConfig, credentials: Arc<dyn CredentialReader>) -> Self {
        Self::with_clock(clients, config, credentials, Arc::new(SystemClock))
    }

    /// The same, with a clock of the host's.
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
        let hub = Arc::new(DeploymentStore::new(Arc::new(context), &clients));
        let mut tasks = JoinSet::new();
        hub.watch(&mut tasks);
        Self {
            hub,
            _tasks: tasks,
            removals: Mutex::default(),
        }
    }

    /// Finds the cluster, and asks it once, so that what is wrong is told at once: first with `config`, then with the way to
    /// the cluster.
    pub async fn connect(connect: Connect, config: KubeConfig, credentials: Arc<dyn CredentialReader>) -> Result<Self> {
        config.check()?;
        let clients = KubeClients::connect(connect).await?;
        let runtime = Self::new(clients, config, credentials);
        runtime.check().await?;
        Ok(runtime)
    }

    /// Checks the configuration, as [`KubeConfig::check`] does, and waits until every namespace has been read once; fails
    /// with why one cannot be, at the latest after [`KubeConfig::deadline`].
    pub async fn check(&self) -> Result<()> {
        self.hub.context.check()?;
        self.wait_until_synced().await
    }

    /// Waits until every namespace has been read once.
    async fn wait_until_synced(&self) -> Result<()> {
        for namespace in &self.hub.namespaces {
            namespace.wait_synced_within(self.hub.context.config.deadline).await?;
        }
        Ok(())
    }

    /// The secrets that images are pulled with and that were made from registry accounts; of `teams` alone, unless it is
    /// `None`.
    pub async fn pull_secrets(&self, teams: Option<&[TeamId]>) -> Result<Vec<PullSecret>> {
        self.wait_until_synced().await?;
        Ok(pull_secrets::list(&self.hub.namespaces, teams))
    }

    /// The Deployment that runs for `name`, as `namespace/name`, once it has been made.
    pub fn deployment(&self, name: &InstallName) -> Option<String> {
        let live = self.hub.deployment_of_install(name)?.live()?;
        Some(format!(
            "{}/{}",
            live.metadata.namespace.as_deref()?,
            live.metadata.name.as_deref()?
        ))
    }

    /// Takes `name` off a deployment. What has begun is finished, also if nobody waits for it.
    fn release(&self, deployment: Arc<DeploymentState>, name: InstallName) -> oneshot::Receiver<Result<()>> {
        let (done, outcome) = oneshot::channel();
        let hub = self.hub.clone();
        let mut removals = self.removals.lock().unwrap_or_else(PoisonError::into_inner);
        while removals.try_join_next().is_some() {}
        removals.spawn(async move {
            let left = hub.release(&deployment, &name).await;
            if let Err(error) = &left {
                tracing::warn!(install = %name, %error, "not removed yet");
            }
            // Nobody may wait for it.
            drop(done.send(left));
        });
        outcome
    }

    /// The cell of what was asked for or found.
    async fn find_deployment(&self, name: &InstallName) -> Result<Arc<DeploymentState>> {
        if let Some(deployment) = self.hub.deployment_of_install(name) {
            return Ok(deployment);
        }
        self.wait_until_synced().await?;
        self.hub.deployment_of_install(name).ok_or_else(|| not_found(name))
    }
}

#[async_trait]
impl Runtime for KubeRuntime {
    fn check(&self, server: &ServerSpec) -> Result<()> {
        for warning in render::check(server, &self.hub.context.config)? {
            tracing::warn!(server = %server.name, warning, "its Deployment says more than is used");
        }
        Ok(())
    }

    async fn ensure(&self, name: &InstallName, spec: &RunSpec) -> Result<()> {
        let context = &self.hub.context;
        context.check()?;
        let environment = context.config.environment(spec.kubernetes.environment.as_deref())?;
        let context = PlanContext {
            config: &context.config,
            environment,
            scheduling: &Default::default(),
        };
        DeploymentPlan::check(context, (name, spec))?;
        for left in self.hub.desired(name, spec, environment) {
            drop(self.release(left, *name));
        }
        Ok(())
    }

    async fn remove(&self, name: &InstallName) -> Result<()> {
        self.wait_until_synced().await?;
        let mut deployments = self.hub.deployments_of(name);
        deployments.extend(self.hub.leftovers_of(name));
        for deployment in deployments {
            self.release(deployment, *name)
                .await
                .unwrap_or_else(|_| Err(stopped(name)))?;
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<InstallName>> {
        self.wait_until_synced().await?;
        Ok(self.hub.users().into_iter().collect())
    }

    async fn endpoint(&self, name: &InstallName) -> Result<Endpoint> {
        let deployment = self.hub.deployment_of_install(name).ok_or_else(|| not_found(name))?;
        deployment.endpoint(name)
    }

    fn watch(&self) -> BoxStream<'static, StatusEvent> {
        self.hub.context.board.watch()
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
        logs::read(&self.hub, *name, query)
    }
}

#[async_trait]
impl RuntimeRestart for KubeRuntime {
    async fn restart(&self, name: &InstallName, kind: Restart) -> Result<()> {
        let deployment = self.find_deployment(name).await?;
        let at = self.hub.context.now();
        match kind {
            Restart::Reset => restart::reset(&deployment).await,
            kind => {
                restart::rolling_restart(
                    &deployment,
                    RestartRequest {
                        at,
                        fresh_pull: kind == Restart::FreshPull,
                    },
                )
                .await
            }
        }
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
        scale_to_zero::sleep(&deployment)
            .await
            .map_err(|failure| not_ready(name, failure))
    }

    async fn wake(&self, name: &InstallName) -> Result<()> {
        let deployment = self.find_deployment(name).await?;
        scale_to_zero::wake(&deployment)
            .await
            .map_err(|failure| not_ready(name, failure))
    }
}

fn stopped(name: &InstallName) -> Error {
    not_ready(
        name,
        Failure::new(FailureKind::Stopped, "the runtime ended before it was removed"),
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
            .field("targets", &self.hub.namespaces)
            .field("board", &self.hub.context.board)
            .finish_non_exhaustive()
    }
}
