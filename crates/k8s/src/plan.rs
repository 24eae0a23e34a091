//! A wish as objects: rendered, and in the form in which it is compared with what the cluster has.

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
    annotations,
    config::{Environment, KubeConfig, Scheduling},
    object_cache::DependentKind,
    render::{RenderInput, Rendered, RestartRequest, api_compat, render, secret_keys},
};

/// A wish, rendered.
pub(crate) struct DeploymentPlan {
    pub(crate) rendered: Rendered,
    /// The name of the Deployment.
    pub(crate) name: String,
    /// What its pods are marked with.
    pub(crate) template: String,
    /// Which era the server speaks.
    pub(crate) era: ProtocolEra,
    /// What it may ask.
    pub(crate) server_requests: ServerRequestPolicy,
    /// The fields of the Deployment that are ours.
    pub(crate) wanted: Value,
    /// The other objects, in the order in which they are applied: all before the Deployment.
    pub(crate) dependents: Vec<DependentPlan>,
    /// The token of the bridge.
    pub(crate) token: Secret,
    /// What must not be repeated from logs.
    pub(crate) secrets: Vec<Secret>,
}

/// One object beside the Deployment.
pub(crate) struct DependentPlan {
    pub(crate) dependent: DependentKind,
    pub(crate) name: String,
    pub(crate) object: DependentObject,
    /// Its fields that are ours, without what stands in a secret.
    pub(crate) wanted: Value,
    /// Whether others may use it, too.
    pub(crate) shared: bool,
}

impl DependentPlan {
    /// Whether it is the same for every deployment of the namespace, so that the first one writes it.
    pub(crate) fn is_constant(&self) -> bool {
        self.shared && self.dependent == DependentKind::Policy
    }
}

pub(crate) enum DependentObject {
    Service(Box<Service>),
    Secret(Box<SecretObject>),
    Policy(Box<NetworkPolicy>),
}

/// What is rendered from, and belongs to the runtime.
#[derive(Clone, Copy)]
pub(crate) struct PlanContext<'a> {
    pub(crate) config: &'a KubeConfig,
    pub(crate) environment: &'a Environment,
    pub(crate) scheduling: &'a Scheduling,
}

impl DeploymentPlan {
    /// Refuses a spec that can never be rendered, whatever its secrets are.
    pub(crate) fn check(context: PlanContext<'_>, (name, spec): (&InstallName, &RunSpec)) -> Result<()> {
        let sample = || Secret::new("x");
        let secrets: BTreeMap<_, _> = secret_keys(spec)
            .into_iter()
            .map(|key| (key.clone(), sample()))
            .collect();
        Self::make(context, (name, spec), &secrets, &sample(), None, None).map(drop)
    }

    /// Renders `spec`. The restart that `live` was given stays, as long as it is of the same wish: taking it away would
    /// be a restart.
    pub(crate) fn make(
        context: PlanContext<'_>,
        (name, spec): (&InstallName, &RunSpec),
        secrets: &BTreeMap<CredentialKey, Secret>,
        token: &Secret,
        live: Option<&Deployment>,
        asked: Option<RestartRequest>,
    ) -> Result<Self> {
        let mut input = RenderInput {
            name,
            spec,
            config: context.config,
            environment: context.environment,
            secrets,
            bridge_token: token,
            scheduling: context.scheduling,
            restarted: None,
        };
        let mut rendered = render(&input)?;
        let template = api_compat::spec_mut(&mut rendered.deployment)
            .map(|spec| annotations::set_template_hash(&mut spec.template));
        let same = live.filter(|live| annotations::digest(&live.metadata) == Some(&rendered.digest));
        let restarted = asked.or_else(|| same.and_then(RestartRequest::of));
        if restarted.is_some() {
            input.restarted = restarted;
            let marked = rendered.deployment;
            rendered = render(&input)?;
            annotations::copy_template_hash(&marked, &mut rendered.deployment);
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

    /// The Deployment to apply. Its number of copies is left out where it belongs to whoever sent it to sleep.
    pub(crate) fn deployment(&self, asleep: bool) -> Deployment {
        let mut deployment = self.rendered.deployment.clone();
        if asleep && let Some(spec) = api_compat::spec_mut(&mut deployment) {
            spec.replicas = None;
        }
        deployment
    }

    /// The fields of [`DeploymentPlan::deployment`].
    pub(crate) fn wanted(&self, asleep: bool) -> Value {
        let mut wanted = self.wanted.clone();
        if asleep && let Some(spec) = wanted.get_mut("spec").and_then(Value::as_object_mut) {
            spec.remove("replicas");
        }
        wanted
    }

    /// `line` without the secrets that the server was given.
    pub(crate) fn redacted(&self, line: &str) -> String {
        let mut line = line.to_owned();
        for secret in &self.secrets {
            // Shorter ones protect nothing, and would make holes in every word.
            if secret.reveal().len() >= 4 {
                line = line.replace(secret.reveal(), "…");
            }
        }
        line
    }
}

fn dependents(rendered: &Rendered) -> Vec<DependentPlan> {
    let policies = rendered.policies.iter().map(|policy| DependentPlan {
        dependent: DependentKind::Policy,
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
            dependent: DependentKind::Secret,
            name: name_of(&secret.metadata),
            wanted: without_contents(value(secret)),
            shared: is_shared(&secret.metadata),
            object: DependentObject::Secret(Box::new(secret.clone())),
        });
    let service = rendered.service.iter().map(|service| DependentPlan {
        dependent: DependentKind::Service,
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

/// Which keys a secret has is compared, and never what stands under them. `stringData` is written as `data`.
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
        f.debug_struct("Plan")
            .field("rendered", &self.rendered)
            .finish_non_exhaustive()
    }
}
