//! Network policies: which pods may reach a server, and what a server may reach.
//!
//! A port-forward needs no rule: the kubelet connects from inside the pod's network.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::networking::v1::{
        IPBlock, NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer,
        NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{
        apis::meta::v1::{LabelSelector, ObjectMeta},
        util::intstr::IntOrString,
    },
};
use portolan_core::Result;

use crate::{
    config::{GatewayPeer, NetworkMode},
    name,
};

use super::{cidr, render_plan::RenderPlan};

/// Builds the policy that denies all managed pods of the namespace all traffic; each deployment's own policy adds to it.
pub(super) fn baseline(plan: &RenderPlan<'_>) -> NetworkPolicy {
    let manager = &plan.input.config.field_manager;
    let meta = ObjectMeta {
        name: Some(name::baseline(manager)),
        namespace: Some(plan.input.environment.namespace.clone()),
        labels: Some(labels([(name::MANAGED_BY, manager), (name::KIND, "baseline")])),
        ..ObjectMeta::default()
    };
    let servers = labels([(name::MANAGED_BY, manager), (name::NAME, name::CONTAINER)]);
    policy(meta, servers, Vec::new(), Vec::new())
}

/// Builds the policy of the deployment's own pods.
pub(super) fn own(plan: &RenderPlan<'_>) -> Result<NetworkPolicy> {
    let meta = plan.meta(name::policy(&plan.name));
    Ok(policy(meta, plan.selector(), ingress(plan), egress(plan)?))
}

/// Allows gateways at the server's port. Attaching needs no port.
fn ingress(plan: &RenderPlan<'_>) -> Vec<NetworkPolicyIngressRule> {
    let peers: Vec<_> = plan.input.config.gateways.iter().map(gateway).collect();
    // An empty list of peers would allow all.
    let port = plan.port.as_ref().filter(|_| !peers.is_empty());
    port.map(|port| NetworkPolicyIngressRule {
        from: Some(peers),
        ports: Some(vec![at("TCP", port.port)]),
    })
    .into_iter()
    .collect()
}

fn gateway(peer: &GatewayPeer) -> NetworkPolicyPeer {
    let namespace = peer.namespace.as_ref();
    NetworkPolicyPeer {
        namespace_selector: namespace.map(|namespace| selector(labels([("kubernetes.io/metadata.name", namespace)]))),
        pod_selector: Some(selector(peer.labels.clone())),
        ip_block: None,
    }
}

fn egress(plan: &RenderPlan<'_>) -> Result<Vec<NetworkPolicyEgressRule>> {
    let (internet, extra_cidrs) = match &plan.input.environment.network {
        NetworkMode::Off => return Ok(Vec::new()),
        NetworkMode::Unrestricted => return Ok(vec![NetworkPolicyEgressRule::default()]),
        NetworkMode::Restricted { internet, extra_cidrs } => (*internet, extra_cidrs),
    };
    let mut open = Vec::new();
    if internet {
        open.push(block("0.0.0.0/0", &cidr::PRIVATE_RANGES_V4));
        open.push(block("::/0", &cidr::PRIVATE_RANGES_V6));
    }
    open.extend(ranges("extra_cidrs", extra_cidrs)?);
    let mut rules = vec![dns(plan)?];
    if !open.is_empty() {
        rules.push(NetworkPolicyEgressRule {
            to: Some(open),
            ports: None,
        });
    }
    Ok(rules)
}

/// Allows port 53 of all pods of the cluster and of the configured addresses.
fn dns(plan: &RenderPlan<'_>) -> Result<NetworkPolicyEgressRule> {
    let mut to = vec![NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }];
    to.extend(ranges("dns", &plan.input.config.dns)?);
    Ok(NetworkPolicyEgressRule {
        to: Some(to),
        ports: Some(vec![at("UDP", 53), at("TCP", 53)]),
    })
}

fn ranges(field: &str, cidrs: &[String]) -> Result<Vec<NetworkPolicyPeer>> {
    let mut peers = Vec::with_capacity(cidrs.len());
    for text in cidrs {
        cidr::check(field, text)?;
        peers.push(block(text, &[]));
    }
    Ok(peers)
}

fn block(cidr: &str, except: &[&str]) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        ip_block: Some(IPBlock {
            cidr: cidr.into(),
            except: (!except.is_empty()).then(|| except.iter().map(|&text| text.into()).collect()),
        }),
        ..NetworkPolicyPeer::default()
    }
}

fn at(protocol: &str, port: u16) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.into()),
        port: Some(IntOrString::Int(port.into())),
        end_port: None,
    }
}

fn policy(
    metadata: ObjectMeta,
    pods: BTreeMap<String, String>,
    ingress: Vec<NetworkPolicyIngressRule>,
    egress: Vec<NetworkPolicyEgressRule>,
) -> NetworkPolicy {
    NetworkPolicy {
        metadata,
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector(pods)),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            // The API server drops empty lists, so each apply of one would count as a change.
            ingress: Some(ingress).filter(|rules| !rules.is_empty()),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
        }),
    }
}

fn selector(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector {
        match_labels: Some(labels),
        match_expressions: None,
    }
}

fn labels<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.into(), value.into())).into()
}
