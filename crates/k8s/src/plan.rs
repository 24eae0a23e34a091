//! The plan of one deployment: its rendered objects, in the form that is compared with the cluster.

use std::{collections::BTreeMap, fmt};

use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{Secret as SecretObject, Service},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use portolan_core::{CredentialKey, InstallName, ProtocolEra, Result, RunSpec, Secret, ServerRequestPolicy};
use serde::Serialize;
use serde_json::Value;

use crate::{
    annotations, api_compat,
    config::{Environment, KubeConfig, Scheduling},
    object_cache::DependentKind,
    render::{RenderInput, Rendered, RestartRequest, render, secret_keys},
};

/// The rendered objects of a desired spec.
pub(crate) struct DeploymentPlan {
    pub(crate) rendered: Rendered,
    /// The name of the Deployment.
    pub(crate) name: String,
    /// The template hash that its pods are annotated with.
    pub(crate) template: String,
    pub(crate) era: ProtocolEra,
    pub(crate) server_requests: ServerRequestPolicy,
    /// The fields of the Deployment that we own.
    pub(crate) wanted: Value,
    /// The other objects, in the order in which they are applied: all before the Deployment.
    pub(crate) dependents: Vec<DependentPlan>,
    /// The token of the bridge.
    pub(crate) token: Secret,
    /// The values that are removed from log lines.
    pub(crate) secrets: Vec<Secret>,
}

/// One object beside the Deployment.
pub(crate) struct DependentPlan {
    pub(crate) kind: DependentKind,
    pub(crate) name: String,
    pub(crate) object: DependentObject,
    /// The fields that we own, without the contents of Secrets.
    pub(crate) wanted: Value,
    /// Whether other deployments may use it too.
    pub(crate) shared: bool,
}

impl DependentPlan {
    /// Returns whether it is the same for every deployment of the namespace, so that the first one writes it.
    pub(crate) fn is_constant(&self) -> bool {
        self.shared && self.kind == DependentKind::Policy
    }
}

pub(crate) enum DependentObject {
    Service(Box<Service>),
    Secret(Box<SecretObject>),
    Policy(Box<NetworkPolicy>),
}

/// The parts of the render input that belong to the runtime.
#[derive(Clone, Copy)]
pub(crate) struct PlanContext<'a> {
    pub(crate) config: &'a KubeConfig,
    pub(crate) environment: &'a Environment,
    pub(crate) scheduling: &'a Scheduling,
}

impl DeploymentPlan {
    /// Checks that a spec can be rendered, whatever its secrets are.
    pub(crate) fn check(context: PlanContext<'_>, (name, spec): (&InstallName, &RunSpec)) -> Result<()> {
        let sample = || Secret::new("x");
        let secrets: BTreeMap<_, _> = secret_keys(spec)
            .into_iter()
            .map(|key| (key.clone(), sample()))
            .collect();
        Self::new(context, (name, spec), &secrets, &sample(), None, None).map(drop)
    }

    /// Renders `spec`. The restart request of `live` is kept while the spec is the same: removing it would be a restart.
    pub(crate) fn new(
        context: PlanContext<'_>,
        (name, spec): (&InstallName, &RunSpec),
        secrets: &BTreeMap<CredentialKey, Secret>,
        token: &Secret,
        live: Option<&Deployment>,
        requested: Option<RestartRequest>,
    ) -> Result<Self> {
        let mut input = RenderInput::new(name, spec, context.config, context.environment, token)
            .with_secrets(secrets)
            .with_scheduling(context.scheduling);
        let mut rendered = render(&input)?;
        let template = api_compat::spec_mut(&mut rendered.deployment)
            .map(|spec| annotations::set_template_hash(&mut spec.template));
        let same = live.filter(|live| annotations::digest(&live.metadata) == Some(&rendered.digest));
        let restart = requested.or_else(|| same.and_then(RestartRequest::of));
        if restart.is_some() {
            input.restart = restart;
            let hashed = rendered.deployment;
            rendered = render(&input)?;
            annotations::copy_template_hash(&hashed, &mut rendered.deployment);
        }
        let wanted = value(&rendered.deployment);
        Ok(Self {
            name: rendered.deployment.metadata.name.clone().unwrap_or_default(),
            template: template.unwrap_or_default(),
            era: spec.era,
            server_requests: spec.server_requests,
            wanted,
            dependents: dependents(&rendered),
            token: token.clone(),
            secrets: secrets.values().chain([token]).cloned().collect(),
            rendered,
        })
    }

    /// Returns the Deployment to apply. While it is asleep, `replicas` belongs to whoever scaled it to zero, and is omitted.
    pub(crate) fn deployment(&self, asleep: bool) -> Deployment {
        let mut deployment = self.rendered.deployment.clone();
        if asleep && let Some(spec) = api_compat::spec_mut(&mut deployment) {
            spec.replicas = None;
        }
        deployment
    }

    /// Returns the fields of [`DeploymentPlan::deployment`].
    pub(crate) fn wanted(&self, asleep: bool) -> Value {
        let mut wanted = self.wanted.clone();
        if asleep && let Some(spec) = wanted.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("replicas");
        }
        wanted
    }

    /// Returns `line` without the secrets of the server.
    pub(crate) fn redacted(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.secrets {
            // Shorter values protect nothing, and would break up ordinary words.
            if secret.reveal().len() >= 4 {
                line = line.replace(secret.reveal(), "…");
            }
        }
        line
    }
}

fn dependents(rendered: &Rendered) -> Vec<DependentPlan> {
    let policies = rendered.policies.iter().map(|policy| DependentPlan {
        kind: DependentKind::Policy,
        name: name_of(&policy.metadata),
        wanted: value(policy),
        shared: is_shared(&policy.metadata),
        object: DependentObject::Policy(Box::new(policy.clone())),
    });
    let secrets = rendered
        .pull_secrets
        .iter()
        .chain(&rendered.secret)
        .map(|secret| DependentPlan {
            kind: DependentKind::Secret,
            name: name_of(&secret.metadata),
            wanted: without_contents(value(secret)),
            shared: is_shared(&secret.metadata),
            object: DependentObject::Secret(Box::new(secret.clone())),
        });
    let service = rendered.service.iter().map(|service| DependentPlan {
        kind: DependentKind::Service,
        name: name_of(&service.metadata),
        wanted: value(service),
        shared: false,
        object: DependentObject::Service(Box::new(service.clone())),
    });
    policies.chain(secrets).chain(service).collect()
}

fn is_shared(meta: &ObjectMeta) -> bool {
    meta.labels
        .as_ref()
        .is_some_and(|labels| labels.contains_key(crate::name::KIND))
}

fn name_of(meta: &ObjectMeta) -> String {
    meta.name.clone().unwrap_or_default()
}

fn value(object: &impl Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// Replaces the values of a Secret: its keys are compared, its values never. `stringData` is written as `data`.
fn without_contents(mut secret: Value) -> Value {
    for contents in ["data", "stringData"] {
        if let Some(entries) = secret.get_mut(contents).and_then(Value::as_object_mut) {
            entries.values_mut().for_each(|value| *value = Value::Bool(true));
        }
    }
    secret
}

impl fmt::Debug for DeploymentPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentPlan")
            .field("rendered", &self.rendered)
            .finish_non_exhaustive()
    }
}
