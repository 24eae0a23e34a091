//! From a run spec to Kubernetes objects, without I/O: the same input is the same output, to the byte.
//!
//! [`render`] makes what the runtime applies. [`check`] tells at the time that a server is stored what `render` would
//! refuse later. [`show`] writes the final Deployment as YAML.

pub(crate) mod api_compat;
mod bridge;
mod cidr;
mod container;
mod deployment;
mod digest;
mod env;
mod escape;
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
    CredentialKey, EnvValue, Error, ImagePullSecret, InstallName, Result, RunSpec, Secret, ServerSpec, StdioCarrier,
};

use crate::{
    config::{Environment, KubeConfig, Scheduling},
    name::{self, DeploymentKey},
    yaml,
};

use render_plan::RenderPlan;

pub(crate) use api_compat::spec;
pub(crate) use bridge::without_bridge;
pub(crate) use escape::escaped;
pub(crate) use image::ImageAllowlist;
pub(crate) use render_plan::ContainerCommand;
pub(crate) use secret::env_key;

/// The port that the bridge listens on.
pub const BRIDGE_PORT: u16 = 8080;
/// The path that the bridge serves.
pub const BRIDGE_PATH: &str = "/mcp";
/// The key of the bridge's token in a deployment's Secret.
pub const BRIDGE_TOKEN: &str = "bridge-token";

/// What is rendered from.
#[derive(Clone, Copy, Debug)]
pub struct RenderInput<'a> {
    /// The install that asks.
    pub name: &'a InstallName,
    /// What it asks for.
    pub spec: &'a RunSpec,
    /// How servers are run here.
    pub config: &'a KubeConfig,
    /// Where this one runs; see [`KubeConfig::environment`].
    pub environment: &'a Environment,
    /// The secrets that the spec names; see [`secret_keys`].
    pub secrets: &'a BTreeMap<CredentialKey, Secret>,
    /// A random text that stays with the deployment: the value of [`BRIDGE_TOKEN`] in the Secret that there is, else a new
    /// one. Gateways show it to the bridge, and digests of secrets are keyed with it.
    pub bridge_token: &'a Secret,
    /// Which nodes, unless the spec says so itself.
    pub scheduling: &'a Scheduling,
    /// The restart that was asked for last; see [`RestartRequest::of`]. It is no part of the digest.
    pub restarted: Option<RestartRequest>,
}

/// A restart that was asked for. It is kept until the wish changes: taking it away would be a restart, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRequest {
    /// When.
    pub at: Timestamp,
    /// Whether the image is pulled anew.
    pub fresh_pull: bool,
}

/// What is applied: each object as it shall be, with `apiVersion` and `kind`, without what the API server fills in.
///
/// `Debug` leaves the secrets out.
#[derive(Clone)]
#[non_exhaustive]
pub struct Rendered {
    /// What the objects belong to.
    pub key: DeploymentKey,
    /// Where they are.
    pub namespace: String,
    /// The Deployment. It has no `replicas` unless the spec names a number: they belong to whoever scales it.
    pub deployment: Deployment,
    /// The Service, where the server is reached by HTTP. It has the Deployment's name.
    pub service: Option<Service>,
    /// The Secret, where the deployment has something to keep in one.
    pub secret: Option<SecretObject>,
    /// The Secrets made of registry accounts. Others may use them, too: they go with the last Deployment that names them.
    pub pull_secrets: Vec<SecretObject>,
    /// The namespace's baseline and the deployment's own policy, to be applied before the Deployment. The baseline stays.
    pub policies: Vec<NetworkPolicy>,
    /// The digest of all of this, as the annotation [`name::DIGEST`] of the Deployment has it: what is equal need not be
    /// applied. It tells nothing about a secret, except to who knows the bridge token.
    pub digest: String,
    /// Whether a change is rolled out with the old pod running until the new one is ready. Else the old one ends first.
    pub rolls: bool,
    /// How the server is reached in its pod.
    pub carrier: Carrier,
    /// Its port, where it has one.
    pub port: Option<ServerPort>,
    /// What is odd about the spec and was passed over, one line each.
    pub warnings: Vec<String>,
}

/// How a server is reached in its pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// It serves HTTP itself.
    Http,
    /// The bridge serves HTTP for it, and wants the bridge token.
    Bridge,
    /// The API server is attached to its input and output.
    Attach,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerPort {
    /// The port, in the pod and of the Service.
    pub port: u16,
    /// The path of its MCP endpoint.
    pub path: String,
}

/// Renders everything that one deployment consists of.
///
/// Fails with [`Error::Invalid`] for what can never run as it was asked for, and with [`Error::NotReady`] where a secret
/// that the spec names is not among the given ones.
pub fn render(input: &RenderInput<'_>) -> Result<Rendered> {
    let given = match &input.spec.kubernetes.deployment_yaml {
        Some(text) => Some(yaml::read(text, input)?),
        None => None,
    };
    let plan = RenderPlan::of(input, given.as_ref().and_then(yaml::ParsedDeployment::command))?;
    let secret = secret::secret(&plan)?;
    let pull_secrets = pull_secret::secrets(&plan)?;
    let mut deployment = deployment::deployment(&plan, secret.as_ref())?;
    let mut warnings = Vec::new();
    if let Some(given) = given {
        given.check(&plan.rules(secret.as_ref()))?;
        warnings = given.warnings;
        deployment = overlay::fill(given.deployment, deployment, &plan, secret.as_ref());
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
    if let Some(restarted) = input.restarted {
        deployment::restart(&mut rendered.deployment, restarted);
    }
    Ok(rendered)
}

/// Checks what a server asks of Kubernetes before it is stored: its options and its Deployment YAML, with a sample answer
/// to each field. Gives what is odd about it and would be passed over.
///
/// What it lets pass may fail later only by an answer, or by what the cluster says.
pub fn check(server: &ServerSpec, config: &KubeConfig) -> Result<Vec<String>> {
    if !server.is_self_hosted() {
        return Ok(Vec::new());
    }
    sample::render_sample(server, config).map(|rendered| rendered.warnings)
}

/// The final Deployment as YAML: what [`render`] makes of `input`, without secrets.
pub fn show(input: &RenderInput<'_>) -> Result<String> {
    yaml::write(&render(input)?.deployment)
}

/// The secrets that rendering `spec` needs.
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

impl RenderInput<'_> {
    /// The secret under `key`, which is there for `what`.
    fn secret(&self, key: &CredentialKey, what: &str) -> Result<&Secret> {
        self.secrets.get(key).ok_or_else(|| {
            use portolan_core::{Failure, FailureKind};
            Error::NotReady {
                what: "install",
                name: self.name.to_string(),
                failure: Failure::new(FailureKind::Config, format!("the secret for {what} is missing"))
                    .remedy("store the secret, then restart the server")
                    .detail(format!("credential key {key}")),
            }
        })
    }
}

impl RestartRequest {
    /// The restart that a live Deployment was last given.
    pub fn of(live: &Deployment) -> Option<Self> {
        let template = &spec(live)?.template;
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
            .field("unit", &self.key)
            .field("namespace", &self.namespace)
            .field("deployment", &self.deployment.metadata.name)
            .field("carrier", &self.carrier)
            .field("port", &self.port)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
