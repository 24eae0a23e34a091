//! Network policies: ingress and egress of servers.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use portolan_k8s::{GatewayPeer, NetworkMode};
use proptest::prelude::*;

use super::{
    fixture::Fixture,
    policy_eval::{End, may_reach},
};

const MCP: (&str, u16) = ("TCP", 3000);
const HTTPS: (&str, u16) = ("TCP", 443);

/// Renders two servers in one namespace, and returns all policies and both servers as ends.
fn servers(mut fixture: Fixture) -> (Vec<NetworkPolicy>, End, End) {
    let mut ends = Vec::new();
    let mut policies = Vec::new();
    for id in [
        "01935a5a-0000-7000-8000-000000000001",
        "01935a5a-0000-7000-8000-000000000002",
    ] {
        fixture.name = portolan_core::InstallName::parse(id).expect("an id");
        let rendered = fixture.render();
        let meta = serde_json::to_value(&rendered.deployment).expect("json")["spec"]["template"]["metadata"].clone();
        ends.push(End::Pod {
            namespace: rendered.namespace.clone(),
            labels: serde_json::from_value(meta["labels"].clone()).expect("labels"),
        });
        policies.extend(rendered.policies);
    }
    let [first, second] = ends.try_into().expect("two");
    (policies, first, second)
}

fn gateway() -> End {
    End::pod("mcp-servers", &[("app.kubernetes.io/name", "portolan")])
}

#[test]
fn only_gateways_reach_servers() {
    let (policies, server, neighbour) = servers(Fixture::http());
    assert!(may_reach(&policies, &gateway(), &server, MCP));
    assert!(!may_reach(&policies, &gateway(), &server, ("TCP", 22)));
    assert!(!may_reach(&policies, &gateway(), &server, ("UDP", 3000)));
    for stranger in [
        neighbour,
        End::pod("mcp-servers", &[("app", "x")]),
        End::pod("elsewhere", &[("app.kubernetes.io/name", "portolan")]),
        End::address("203.0.113.7"),
    ] {
        assert!(!may_reach(&policies, &stranger, &server, MCP), "{stranger:?}");
    }
}

#[test]
fn gateways_in_another_namespace() {
    let mut fixture = Fixture::http();
    fixture.config.gateways = vec![GatewayPeer::with_labels([("app", "host")]).with_namespace("platform")];
    let (policies, server, _) = servers(fixture);
    assert!(may_reach(
        &policies,
        &End::pod("platform", &[("app", "host")]),
        &server,
        MCP
    ));
    assert!(!may_reach(
        &policies,
        &End::pod("mcp-servers", &[("app", "host")]),
        &server,
        MCP
    ));
    assert!(!may_reach(
        &policies,
        &End::pod("platform", &[("app", "x")]),
        &server,
        MCP
    ));
}

#[test]
fn no_gateways_deny_all() {
    let mut fixture = Fixture::http();
    fixture.config.gateways.clear();
    let (policies, server, _) = servers(fixture);
    assert!(!may_reach(&policies, &gateway(), &server, MCP));
}

#[test]
fn ingress_ports_by_carrier() {
    let (policies, server, _) = servers(Fixture::command());
    assert!(may_reach(&policies, &gateway(), &server, ("TCP", 8080)));
    let (policies, server, _) = servers(Fixture::stdio_image(None));
    assert!(!may_reach(&policies, &gateway(), &server, ("TCP", 8080)));
}

#[test]
fn default_egress_is_public_internet() {
    let (policies, server, neighbour) = servers(Fixture::http());
    for open in ["1.1.1.1", "93.184.216.34", "2606:4700:4700::1111"] {
        assert!(may_reach(&policies, &server, &End::address(open), HTTPS), "{open}");
    }
    for private in [
        "10.96.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "168.63.129.16",
        "100.64.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "fd00::1",
        "fe80::1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ] {
        assert!(
            !may_reach(&policies, &server, &End::address(private), HTTPS),
            "{private}"
        );
    }
    let names = End::pod("kube-system", &[("k8s-app", "kube-dns")]);
    for protocol in ["UDP", "TCP"] {
        assert!(may_reach(&policies, &server, &names, (protocol, 53)));
        assert!(may_reach(
            &policies,
            &server,
            &End::address("169.254.20.10"),
            (protocol, 53)
        ));
    }
    assert!(!may_reach(&policies, &server, &names, HTTPS));
    assert!(
        !may_reach(&policies, &server, &neighbour, MCP),
        "servers do not reach each other"
    );
    assert!(!may_reach(&policies, &server, &gateway(), HTTPS), "nor the gateway");
}

#[test]
fn off_denies_all_egress() {
    let mut fixture = Fixture::http();
    fixture.environment.network = NetworkMode::Off;
    let (policies, server, _) = servers(fixture);
    let names = End::pod("kube-system", &[]);
    assert!(!may_reach(&policies, &server, &names, ("UDP", 53)));
    assert!(!may_reach(&policies, &server, &End::address("1.1.1.1"), HTTPS));
    assert!(may_reach(&policies, &gateway(), &server, MCP), "it still serves");
}

#[test]
fn unrestricted_allows_all_egress() {
    let mut fixture = Fixture::http();
    fixture.environment.network = NetworkMode::Unrestricted;
    let (policies, server, neighbour) = servers(fixture);
    assert!(may_reach(&policies, &server, &End::address("10.0.0.1"), HTTPS));
    assert!(may_reach(&policies, &server, &End::pod("elsewhere", &[]), HTTPS));
    assert!(!may_reach(&policies, &server, &neighbour, MCP));
}

#[test]
fn extra_cidr_without_internet() {
    let mut fixture = Fixture::http();
    fixture.environment.network = NetworkMode::Restricted {
        internet: false,
        extra_cidrs: vec!["10.5.0.0/24".into(), "fd00:1::/64".into()],
    };
    let (policies, server, _) = servers(fixture);
    for (address, open) in [
        ("10.5.0.9", true),
        ("fd00:1::9", true),
        ("10.5.1.9", false),
        ("1.1.1.1", false),
        ("fd00:2::9", false),
    ] {
        assert_eq!(
            may_reach(&policies, &server, &End::address(address), ("TCP", 5432)),
            open,
            "{address}"
        );
    }
}

#[test]
fn invalid_cidr_is_refused() {
    for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "example.com/24", "10.0.0.0/-1"] {
        let mut fixture = Fixture::http();
        fixture.environment.network = NetworkMode::Restricted {
            internet: true,
            extra_cidrs: vec![bad.into()],
        };
        assert!(fixture.refusal().contains("not a CIDR range"), "{bad}");
    }
}

proptest! {
    #[test]
    fn private_addresses_are_denied(bits: u32) {
        let address = std::net::Ipv4Addr::from(bits);
        let (policies, server, _) = servers(Fixture::http());
        let is_inside = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_unspecified() || address.is_broadcast() || (bits >> 22) == (0x6440_0000 >> 22);
        let reached = may_reach(&policies, &server, &End::Address(address.into()), HTTPS);
        prop_assert!(!(is_inside && reached), "{address}");
    }
}
