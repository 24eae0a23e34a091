//! The parts of a runtime that all its deployments share.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use aws_lc_rs::rand;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret as SecretObject};
use kube::{Api, api::ListParams};
use portolan_core::{
    Clock, CredentialKey, CredentialReader, Error, Failure, FailureKind, InstallName, RunSpec, Secret, StatusBoard,
};
use tokio::sync::OnceCell;

use crate::{
    config::{KubeConfig, Scheduling, SchedulingDefault},
    connect::HostPod,
    error::ApiError,
    name,
    namespace::Namespace,
    object_cache::DependentKind,
    render::{BRIDGE_TOKEN, secret_keys},
};

/// The parts of a runtime that all its deployments share.
pub(crate) struct RuntimeContext {
    pub(crate) config: KubeConfig,
    pub(crate) credentials: Arc<dyn CredentialReader>,
    pub(crate) board: StatusBoard,
    pub(crate) clock: Arc<dyn Clock>,
    /// The pod that this program runs in, if any.
    pub(crate) host: Option<HostPod>,
    /// The identity of this runtime among the replicas of the host.
    pub(crate) holder_identity: String,
    /// A client of the host's cluster.
    pub(crate) host_client: kube::Client,
    scheduling: OnceCell<Scheduling>,
    /// Set once the configuration was checked.
    config_checked: OnceLock<()>,
}

impl RuntimeContext {
    pub(crate) fn new(
        config: KubeConfig,
        credentials: Arc<dyn CredentialReader>,
        clock: Arc<dyn Clock>,
        host: Option<HostPod>,
        host_client: kube::Client,
    ) -> Self {
        let id = InstallName::new(&*clock).to_string();
        let pod = host.as_ref().map_or("portolan", |host| &host.pod);
        Self {
            holder_identity: format!("{pod}-{}", id.rsplit('-').next().unwrap_or(&id)),
            config,
            credentials,
            board: StatusBoard::new(),
            clock,
            host,
            host_client,
            scheduling: OnceCell::new(),
            config_checked: OnceLock::new(),
        }
    }

    /// Checks the configuration, once.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.config_checked.get().is_none() {
            self.config.check()?;
            self.config_checked.get_or_init(|| ());
        }
        Ok(())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the default node rules: those of the host's own pod, read once.
    pub(crate) async fn scheduling(&self, namespace: &Namespace) -> Scheduling {
        let host = match (&self.config.scheduling, &self.host) {
            (SchedulingDefault::Given(scheduling), _) => return scheduling.clone(),
            (_, None) => return Scheduling::default(),
            (_, Some(host)) => host,
        };
        let pods: Api<Pod> = Api::namespaced(self.host_client.clone(), &host.namespace);
        let read = || async {
            namespace
                .client
                .call_once(pods.get(&host.pod))
                .await
                .map(|pod| of_pod(&pod))
        };
        match self.scheduling.get_or_try_init(read).await {
            Ok(scheduling) => scheduling.clone(),
            Err(error) => {
                tracing::warn!(pod = %host.pod, %error, "cannot read the host's own pod; servers do not inherit its node rules");
                Scheduling::default()
            }
        }
    }

    /// Reads the secrets that `spec` refers to. A missing one is omitted: rendering reports it.
    pub(crate) async fn secrets(&self, spec: &RunSpec) -> Result<BTreeMap<CredentialKey, Secret>, Failure> {
        let mut secrets = BTreeMap::new();
        for key in secret_keys(spec) {
            match self.credentials.read(key).await {
                Ok(Some(found)) => {
                    secrets.insert(key.clone(), found.value);
                }
                Ok(None) => {}
                Err(error) => {
                    let failure = Failure::new(FailureKind::Connection, format!("cannot read its secrets: {error}"));
                    return Err(failure.detail(format!("credential key {key}")));
                }
            }
        }
        Ok(secrets)
    }

    /// Returns the bridge token of a deployment: the one in its Secret, else a new one.
    pub(crate) async fn bridge_token(&self, namespace: &Namespace, deployment: &str) -> Result<Secret, ApiError> {
        let secret = name::secret(deployment);
        let exists = namespace
            .objects()
            .dependents
            .get(&DependentKind::Secret)
            .is_some_and(|secrets| secrets.get(&secret).is_some());
        if !exists {
            return new_token();
        }
        if let Some(token) = known_tokens(namespace).await?.get(&secret) {
            return Ok(token.clone());
        }
        let api = namespace.client.api::<SecretObject>();
        let found = namespace.client.call(|| api.get_opt(&secret)).await?;
        found.as_ref().and_then(token_of).map_or_else(new_token, Ok)
    }
}

/// Lists the tokens of all deployments once: one call for 200 installs that start together.
async fn known_tokens(namespace: &Namespace) -> Result<&BTreeMap<String, Secret>, ApiError> {
    let list = || async {
        let api = namespace.client.api::<SecretObject>();
        let params = ListParams::default().labels(&format!("{},!{}", name::managed(&namespace.manager), name::KIND));
        let secrets = namespace.client.call(|| api.list(&params)).await?;
        let token = |secret: &SecretObject| Some((secret.metadata.name.clone()?, token_of(secret)?));
        Ok(secrets.items.iter().filter_map(token).collect())
    };
    namespace.bridge_tokens.get_or_try_init(list).await
}

fn token_of(secret: &SecretObject) -> Option<Secret> {
    let bytes = secret.data.as_ref()?.get(BRIDGE_TOKEN)?;
    let text = String::from_utf8(bytes.0.clone()).ok()?;
    (!text.is_empty()).then(|| Secret::new(text))
}

fn new_token() -> Result<Secret, ApiError> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| ApiError::Rejected("the system has no random bytes for a token".into()))?;
    Ok(Secret::new(name::hex(&bytes)))
}

/// Returns the node rules of a pod, without the tolerations that the cluster adds to every pod.
fn of_pod(pod: &Pod) -> Scheduling {
    let Some(spec) = &pod.spec else {
        return Scheduling::default();
    };
    let is_own = |key: &Option<String>| {
        !matches!(
            key.as_deref(),
            Some("node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable")
        )
    };
    Scheduling {
        node_selector: spec.node_selector.clone().unwrap_or_default(),
        tolerations: spec
            .tolerations
            .iter()
            .flatten()
            .filter(|toleration| is_own(&toleration.key))
            .cloned()
            .collect(),
    }
}

impl fmt::Debug for RuntimeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeContext")
            .field("config", &self.config)
            .field("board", &self.board)
            .finish_non_exhaustive()
    }
}
