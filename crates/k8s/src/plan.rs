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
    object_cache::Part,
    render::{RenderInput, Rendered, Restarted, api_compat, render, secret_keys},
};

/// A wish, rendered.
pub(crate) struct Plan {
    pub(crate) rendered: Rendered,
    /// The name of the Deployment.
    pub(crate) deployment: String,
    /// What its pods are marked with.
    pub(crate) template: String,
    /// Which era the server speaks.
    pub(crate) era: ProtocolEra,
    /// What it may ask.
    pub(crate) server_requests: ServerRequestPolicy,
    /// The fields of the Deployment that are ours.
    pub(crate) wanted: Value,
    /// The other objects, in the order in which they are applied: all before the Deployment.
    pub(crate) parts: Vec<PartPlan>,
    /// The token of the bridge.
    pub(crate) token: Secret,
    /// What must not be repeated from logs.
    pub(crate) secrets: Vec<Secret>,
}

/// One object beside the Deployment.
pub(crate) struct PartPlan {
    pub(crate) part: Part,
    pub(crate) name: String,
    pub(crate) object: PartObject,
    /// Its fields that are ours, without what stands in a secret.
    pub(crate) wanted: Value,
    /// Whether others may use it, too.
    pub(crate) shared: bool,
}

impl PartPlan {
    /// Whether it is the same for every deployment of the namespace, so that the first one writes it.
    pub(crate) fn is_constant(&self) -> bool {
        self.shared && self.part == Part::Policy
    }
}

pub(crate) enum PartObject {
    Service(Box<Service>),
    Secret(Box<SecretObject>),
    Policy(Box<NetworkPolicy>),
}

/// What is rendered from, and belongs to the runtime.
#[derive(Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) config: &'a KubeConfig,
    pub(crate) environment: &'a Environment,
    pub(crate) scheduling: &'a Scheduling,
}

impl Plan {
    /// Refuses a spec that can never be rendered, whatever its secrets are.
    pub(crate) fn check(means: Means<'_>, (name, spec): (&InstallName, &RunSpec)) -> Result<()> {
        let sample = || Secret::new("x");
        let secrets: BTreeMap<_, _> = secret_keys(spec)
            .into_iter()
            .map(|key| (key.clone(), sample()))
            .collect();
        Self::make(means, (name, spec), &secrets, &sample(), None, None).map(drop)
    }

    /// Renders `spec`. The restart that `live` was given stays, as long as it is of the same wish: taking it away would
    /// be a restart.
    pub(crate) fn make(
        means: Means<'_>,
        (name, spec): (&InstallName, &RunSpec),
        secrets: &BTreeMap<CredentialKey, Secret>,
        token: &Secret,
        live: Option<&Deployment>,
        asked: Option<Restarted>,
    ) -> Result<Self> {
        let mut input = RenderInput {
            name,
            spec,
            config: means.config,
            environment: means.environment,
            secrets,
            bridge_token: token,
            scheduling: means.scheduling,
            restarted: None,
        };
        let mut rendered = render(&input)?;
        let template =
            api_compat::spec_mut(&mut rendered.deployment).map(|spec| annotations::set_template(&mut spec.template));
        let same = live.filter(|live| annotations::digest(&live.metadata) == Some(&rendered.digest));
        let restarted = asked.or_else(|| same.and_then(Restarted::of));
        if restarted.is_some() {
            input.restarted = restarted;
            let marked = rendered.deployment;
            rendered = render(&input)?;
            annotations::keep_template(&marked, &mut rendered.deployment);
        }
        let wanted = value(&rendered.deployment);
        Ok(Self {
            deployment: rendered.deployment.metadata.name.clone().unwrap_or_default(),
            template: template.unwrap_or_default(),
            era: spec.era,
            server_requests: spec.server_requests,
            wanted,
            parts: parts(&rendered),
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

    /// The fields of [`Plan::deployment`].
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

fn parts(rendered: &Rendered) -> Vec<PartPlan> {
    let policies = rendered.policies.iter().map(|policy| PartPlan {
        part: Part::Policy,
        name: name_of(&policy.metadata),
        wanted: value(policy),
        shared: is_shared(&policy.metadata),
        object: PartObject::Policy(Box::new(policy.clone())),
    });
    let secrets = rendered
        .pull_secrets
        .iter()
        .chain(&rendered.secret)
        .map(|secret| PartPlan {
            part: Part::Secret,
            name: name_of(&secret.metadata),
            wanted: without_contents(value(secret)),
            shared: is_shared(&secret.metadata),
            object: PartObject::Secret(Box::new(secret.clone())),
        });
    let service = rendered.service.iter().map(|service| PartPlan {
        part: Part::Service,
        name: name_of(&service.metadata),
        wanted: value(service),
        shared: false,
        object: PartObject::Service(Box::new(service.clone())),
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

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("rendered", &self.rendered)
            .finish_non_exhaustive()
    }
}
