//! Evaluates network policies: may A connect to B?
//!
//! Follows the documentation of NetworkPolicy: policies are additive; a pod that any policy selects for a direction may do in
//! that direction what some rule allows, and nothing else.

use std::{collections::BTreeMap, net::IpAddr};

use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};

/// One end of a connection.
#[derive(Clone, Debug)]
pub(super) enum End {
    /// A pod.
    Pod {
        namespace: String,
        labels: BTreeMap<String, String>,
    },
    /// An address outside of the cluster.
    Address(IpAddr),
}

impl End {
    pub(super) fn pod(namespace: &str, labels: &[(&str, &str)]) -> Self {
        Self::Pod {
            namespace: namespace.into(),
            labels: labels.iter().map(|&(key, value)| (key.into(), value.into())).collect(),
        }
    }

    pub(super) fn address(text: &str) -> Self {
        Self::Address(text.parse().expect("an address"))
    }
}

/// Returns whether `from` may open a connection to `to` at `port`.
pub(super) fn may_reach(policies: &[NetworkPolicy], from: &End, to: &End, (protocol, port): (&str, u16)) -> bool {
    let out = allows(policies, from, to, "Egress", (protocol, port));
    let into = allows(policies, to, from, "Ingress", (protocol, port));
    out && into
}

/// Returns whether `pod` may have a connection with `peer` in one direction.
fn allows(policies: &[NetworkPolicy], pod: &End, peer: &End, direction: &str, at: (&str, u16)) -> bool {
    let End::Pod { namespace, labels } = pod else {
        return true;
    };
    let selecting: Vec<_> = policies
        .iter()
        .filter(|policy| policy.metadata.namespace.as_deref() == Some(namespace))
        .filter_map(|policy| policy.spec.as_ref())
        .filter(|spec| spec.policy_types.iter().flatten().any(|kind| kind == direction))
        .filter(|spec| {
            spec.pod_selector
                .as_ref()
                .is_none_or(|selector| selects(selector, labels))
        })
        .collect();
    selecting.is_empty()
        || selecting.iter().any(|spec| {
            let rules: Vec<_> = match direction {
                "Egress" => spec
                    .egress
                    .iter()
                    .flatten()
                    .map(|rule| (&rule.to, &rule.ports))
                    .collect(),
                _ => spec
                    .ingress
                    .iter()
                    .flatten()
                    .map(|rule| (&rule.from, &rule.ports))
                    .collect(),
            };
            rules.into_iter().any(|(peers, ports)| {
                let fits = |peers: &Vec<NetworkPolicyPeer>| peers.iter().any(|one| is_peer(one, peer, namespace));
                let opens = |ports: &Vec<NetworkPolicyPort>| ports.iter().any(|one| is_port(one, at));
                // A missing or empty list means all.
                peers.as_ref().is_none_or(|peers| peers.is_empty() || fits(peers))
                    && ports.as_ref().is_none_or(|ports| ports.is_empty() || opens(ports))
            })
        })
}

fn is_peer(rule: &NetworkPolicyPeer, end: &End, own_namespace: &str) -> bool {
    match (&rule.ip_block, end) {
        (Some(block), End::Address(address)) => in_block(block, *address),
        (Some(_), End::Pod { .. }) => false,
        (None, End::Address(_)) => false,
        (None, End::Pod { namespace, labels }) => {
            let in_namespace = match &rule.namespace_selector {
                None => namespace == own_namespace,
                Some(selector) => {
                    let labels = [("kubernetes.io/metadata.name".to_owned(), namespace.clone())].into();
                    selects(selector, &labels)
                }
            };
            in_namespace
                && rule
                    .pod_selector
                    .as_ref()
                    .is_none_or(|selector| selects(selector, labels))
        }
    }
}

fn is_port(rule: &NetworkPolicyPort, (protocol, port): (&str, u16)) -> bool {
    rule.protocol.as_deref().unwrap_or("TCP") == protocol
        && rule
            .port
            .as_ref()
            .is_none_or(|wanted| *wanted == IntOrString::Int(port.into()))
}

fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    assert!(selector.match_expressions.is_none(), "not read here");
    selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value))
}

fn in_block(block: &IPBlock, address: IpAddr) -> bool {
    in_range(&block.cidr, address) && !block.except.iter().flatten().any(|range| in_range(range, address))
}

fn in_range(cidr: &str, address: IpAddr) -> bool {
    let (base, bits) = cidr.split_once('/').expect("a range");
    let bits: u32 = bits.parse().expect("a number of bits");
    match (base.parse().expect("an address"), address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => {
            let differ = u32::from(base) ^ u32::from(address);
            bits == 0 || differ >> (32 - bits) == 0
        }
        (IpAddr::V6(base), IpAddr::V6(address)) => {
            let differ = u128::from(base) ^ u128::from(address);
            bits == 0 || differ >> (128 - bits) == 0
        }
        _ => false,
    }
}
