//! Renders a run spec as Kubernetes objects, without I/O: the same input gives the same output, byte for byte.
//!
//! [`render`] builds what the runtime applies. [`check`] reports what `render` would refuse, at the time a server is stored.
//! [`show`] writes the final Deployment as YAML.

mod bridge;
mod cidr;
mod container;
mod deployment;
mod digest;
mod env;
mod files;
mod hardening;
mod image;
mod overlay;
mod pod;
mod policy;
mod probe;
mod pull_secret;
mod quantity;
mod render_plan;
mod resources;
mod sample;
mod secret;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Secret as SecretObject, Service},
    networking::v1::NetworkPolicy,
};
use portolan_core::{
    CredentialKey, EnvValue, Error, Failure, FailureKind, ImagePullSecret, InstallName, Result, RunSpec, Secret,
    ServerSpec, StdioCarrier,
};

use crate::{
    api_compat,
    config::{Environment, KubeConfig, Scheduling},
    manifest::{self, PlaceholderInput},
    name::{self, DeploymentKey},
};

use render_plan::RenderPlan;

/// The port that the bridge listens on.
pub const BRIDGE_PORT: u16 = 8080;
/// The path of the bridge's MCP endpoint.
pub const BRIDGE_PATH: &str = "/mcp";
/// The key of the bridge's token in a deployment's Secret.
pub const BRIDGE_TOKEN: &str = "bridge-token";

/// The input of [`render`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RenderInput<'a> {
    /// The install.
    pub name: &'a InstallName,
    /// The spec to run.
    pub spec: &'a RunSpec,
    /// The configuration of the runtime.
    pub config: &'a KubeConfig,
    /// The environment that the install runs in; see [`KubeConfig::environment`].
    pub environment: &'a Environment,
    /// The secrets that the spec refers to; see [`secret_keys`]. Default: none.
    pub secrets: &'a BTreeMap<CredentialKey, Secret>,
    /// A random text that stays with the deployment: the value of [`BRIDGE_TOKEN`] in the existing Secret, else a new one.
    /// Gateways present it to the bridge; it also keys the digests of secrets.
    pub bridge_token: &'a Secret,
    /// The node rules, for specs that have none of their own. Default: no rules.
    pub scheduling: &'a Scheduling,
    /// The last requested restart; see [`RestartRequest::of`]. It does not change the digest. Default: `None`.
    pub restart: Option<RestartRequest>,
}

/// A requested restart. It is kept until the spec changes, because removing it would be another restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestartRequest {
    /// The time of the request.
    pub at: Timestamp,
    /// Whether the image is pulled even if the node has it. Default: `false`.
    pub fresh_pull: bool,
}

/// The objects of one deployment as they are applied: with `apiVersion` and `kind`, without what the API server fills in.
///
/// `Debug` omits the secrets.
#[derive(Clone)]
#[non_exhaustive]
pub struct Rendered {
    /// The owner of the objects.
    pub key: DeploymentKey,
    /// The namespace of the objects.
    pub namespace: String,
    /// The Deployment. It has no `replicas` unless the spec sets a number: whoever scales it owns them.
    pub deployment: Deployment,
    /// The Service, for a server that is called over HTTP. It has the Deployment's name.
    pub service: Option<Service>,
    /// The Secret, if the deployment has secret values.
    pub secret: Option<SecretObject>,
    /// The Secrets made from registry accounts. Other deployments may share them: they are deleted with the last Deployment
    /// that names them.
    pub pull_secrets: Vec<SecretObject>,
    /// The namespace's baseline policy and the deployment's own policy, to be applied before the Deployment. The baseline
    /// stays when the deployment is removed.
    pub policies: Vec<NetworkPolicy>,
    /// The digest of all objects, also in the Deployment's annotation [`name::DIGEST`]: equal digests need no apply. It
    /// reveals nothing about a secret without the bridge token.
    pub digest: String,
    /// Whether a change is rolled out with the old pod running until the new one is ready; otherwise the old pod ends first.
    pub rolls: bool,
    /// How the server is reached in its pod.
    pub carrier: Carrier,
    /// The server's port; `None` for [`Carrier::Attach`].
    pub port: Option<ServerPort>,
    /// One line for each part of the spec that has no effect.
    pub warnings: Vec<String>,
}

/// How a server is reached in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Carrier {
    /// The server listens for HTTP.
    Http,
    /// The bridge listens for HTTP, runs the server as a child process, and requires the bridge token.
    Bridge,
    /// The API server attaches to the standard input and output of the container.
    Attach,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerPort {
    /// The port of the pod and of the Service.
    pub port: u16,
    /// The path of the MCP endpoint.
    pub path: String,
}

/// Renders all objects of one deployment.
///
/// ```
/// use portolan_core::{InstallName, Owner, RunSpec, Secret, ServerName, Source, SystemClock, Transport};
/// use portolan_k8s::{KubeConfig, render::{RenderInput, render}};
///
/// let config = KubeConfig::in_namespace("mcp-servers");
/// let name = InstallName::new(&SystemClock);
/// let transport = Transport::Http { port: 3000, path: "/mcp".into() };
/// let source = Source::Image { image: "ghcr.io/acme/time:1".into(), program: None, args: vec![], transport };
/// let spec = RunSpec::new(ServerName::parse("time")?, Owner::Org, source);
/// let token = Secret::new("random");
///
/// let rendered = render(&RenderInput::new(&name, &spec, &config, &config.default_environment, &token))?;
/// assert!(rendered.service.is_some());
/// assert_eq!(rendered.port.map(|port| port.port), Some(3000));
/// # Ok::<(), portolan_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] if the spec can never run as requested; [`Error::NotReady`] if a secret that it refers to is missing in
/// [`RenderInput::secrets`].
pub fn render(input: &RenderInput<'_>) -> Result<Rendered> {
    let given = match &input.spec.kubernetes.deployment_yaml {
        Some(text) => Some(manifest::parse(text, input.placeholders())?),
        None => None,
    };
    let plan = RenderPlan::new(input, given.as_ref().and_then(manifest::ParsedManifest::command))?;
    let secret = secret::secret(&plan)?;
    let pull_secrets = pull_secret::secrets(&plan)?;
    let mut deployment = deployment::deployment(&plan, secret.as_ref())?;
    let mut warnings = Vec::new();
    if let Some(given) = given {
        given.check(&plan.manifest_rules(secret.as_ref()))?;
        warnings = given.warnings;
        deployment = overlay::merge(given.deployment, deployment, &plan, secret.as_ref());
    }
    let mut rendered = Rendered {
        key: plan.key.clone(),
        namespace: input.environment.namespace.clone(),
        service: service::service(&plan),
        policies: vec![policy::baseline(&plan), policy::own(&plan)?],
        rolls: deployment::rolls(plan.carrier),
        carrier: plan.carrier,
        port: plan.port.clone(),
        digest: String::new(),
        deployment,
        secret,
        pull_secrets,
        warnings,
    };
    digest::set_digest(&mut rendered, input.bridge_token)?;
    if let Some(restart) = input.restart {
        deployment::restart(&mut rendered.deployment, restart);
    }
    Ok(rendered)
}

/// Checks the Kubernetes options and the Deployment YAML of a server before it is stored, with a sample answer to each field.
///
/// Returns one warning for each part that has no effect. A server that passes may still fail because of an answer, or because
/// of the cluster. Remote servers always pass.
///
/// ```
/// use portolan_core::ServerSpec;
/// use portolan_k8s::{KubeConfig, render};
///
/// let config = KubeConfig::in_namespace("mcp-servers");
/// let mut server = ServerSpec::image("time", "mcp/time")?;
/// assert!(render::check(&server, &config)?.is_empty());
///
/// server.kubernetes.service_account = Some("admin".into());
/// assert!(render::check(&server, &config).is_err());
/// # Ok::<(), portolan_core::Error>(())
/// ```
///
/// # Errors
///
/// [`Error::Invalid`] for what [`render`] would refuse; the message names the option and the remedy.
pub fn check(server: &ServerSpec, config: &KubeConfig) -> Result<Vec<String>> {
    if !server.is_self_hosted() {
        return Ok(Vec::new());
    }
    sample::render_sample(server, config).map(|rendered| rendered.warnings)
}

/// Renders `input` and returns the Deployment as YAML, without secrets.
///
/// # Errors
///
/// The errors of [`render`].
pub fn show(input: &RenderInput<'_>) -> Result<String> {
    manifest::write(&render(input)?.deployment)
}

/// Returns the keys of the secrets that rendering `spec` needs.
pub fn secret_keys(spec: &RunSpec) -> BTreeSet<&CredentialKey> {
    let values = spec.env.values().chain(spec.files.values());
    let given = values.filter_map(|value| match value {
        EnvValue::Secret(key) => Some(key),
        EnvValue::Plain(_) => None,
    });
    let pulling = spec.kubernetes.image_pull_secrets.iter().filter_map(|pull| match pull {
        ImagePullSecret::Credentials { password, .. } => Some(password),
        _ => None,
    });
    given.chain(pulling).collect()
}

static NO_SECRETS: BTreeMap<CredentialKey, Secret> = BTreeMap::new();
static NO_SCHEDULING: Scheduling = Scheduling::new();

impl<'a> RenderInput<'a> {
    /// Creates an input without secrets, node rules and restart; see the example of [`render`].
    pub fn new(
        name: &'a InstallName,
        spec: &'a RunSpec,
        config: &'a KubeConfig,
        environment: &'a Environment,
        bridge_token: &'a Secret,
    ) -> Self {
        Self {
            name,
            spec,
            config,
            environment,
            secrets: &NO_SECRETS,
            bridge_token,
            scheduling: &NO_SCHEDULING,
            restart: None,
        }
    }

    /// Sets [`secrets`](Self::secrets).
    #[must_use]
    pub fn with_secrets(mut self, secrets: &'a BTreeMap<CredentialKey, Secret>) -> Self {
        self.secrets = secrets;
        self
    }

    /// Sets [`scheduling`](Self::scheduling).
    #[must_use]
    pub fn with_scheduling(mut self, scheduling: &'a Scheduling) -> Self {
        self.scheduling = scheduling;
        self
    }

    /// Sets [`restart`](Self::restart).
    #[must_use]
    pub fn with_restart(mut self, restart: Option<RestartRequest>) -> Self {
        self.restart = restart;
        self
    }

    fn placeholders(&self) -> PlaceholderInput<'a> {
        PlaceholderInput {
            install: self.name,
            spec: self.spec,
            base_image: &self.config.base_image,
            namespace: &self.environment.namespace,
        }
    }

    /// Returns the secret under `key`; `purpose` names it in the error.
    fn secret(&self, key: &CredentialKey, purpose: &str) -> Result<&Secret> {
        self.secrets.get(key).ok_or_else(|| Error::NotReady {
            what: "install",
            name: self.name.to_string(),
            failure: Failure::new(FailureKind::Config, format!("the secret for {purpose} is missing"))
                .remedy("store the secret, then restart the server")
                .detail(format!("credential key {key}")),
        })
    }
}

impl RestartRequest {
    /// Creates a request at `at` that does not pull the image again.
    ///
    /// ```
    /// use portolan_core::{Clock, SystemClock};
    /// use portolan_k8s::render::RestartRequest;
    ///
    /// let request = RestartRequest::new(SystemClock.now()).with_fresh_pull(true);
    /// assert!(request.fresh_pull);
    /// ```
    pub fn new(at: Timestamp) -> Self {
        Self { at, fresh_pull: false }
    }

    /// Sets [`fresh_pull`](Self::fresh_pull).
    #[must_use]
    pub fn with_fresh_pull(mut self, fresh_pull: bool) -> Self {
        self.fresh_pull = fresh_pull;
        self
    }

    /// Reads the last requested restart from a live Deployment.
    pub fn of(live: &Deployment) -> Option<Self> {
        let template = &api_compat::spec(live)?.template;
        let at = template
            .metadata
            .as_ref()?
            .annotations
            .as_ref()?
            .get(name::RESTARTED_AT)?;
        let containers = &template.spec.as_ref()?.containers;
        let server = containers.iter().find(|container| container.name == name::CONTAINER)?;
        Some(Self {
            at: at.parse().ok()?,
            fresh_pull: server.image_pull_policy.as_deref() == Some("Always"),
        })
    }
}

impl ServerPort {
    /// Creates a port with the path of the MCP endpoint.
    ///
    /// ```
    /// use portolan_k8s::render::ServerPort;
    ///
    /// assert_eq!(ServerPort::new(3000, "/mcp").path, "/mcp");
    /// ```
    pub fn new(port: u16, path: impl Into<String>) -> Self {
        Self {
            port,
            path: path.into(),
        }
    }
}

impl From<StdioCarrier> for Carrier {
    fn from(stdio: StdioCarrier) -> Self {
        match stdio {
            StdioCarrier::Attach => Self::Attach,
            _ => Self::Bridge,
        }
    }
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rendered")
            .field("key", &self.key)
            .field("namespace", &self.namespace)
            .field("deployment", &self.deployment.metadata.name)
            .field("carrier", &self.carrier)
            .field("port", &self.port)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
