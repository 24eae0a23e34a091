//! Who reaches a server, and what a server reaches.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use portolan_k8s::{GatewayPeer, NetworkMode};
use proptest::prelude::*;

use super::{
    fixture::World,
    policy_eval::{End, may_reach},
};

const MCP: (&str, u16) = ("TCP", 3000);
const HTTPS: (&str, u16) = ("TCP", 443);

/// Two servers in one namespace: all their policies, and the first as an end.
fn servers(mut world: World) -> (Vec<NetworkPolicy>, End, End) {
    let mut ends = Vec::new();
    let mut policies = Vec::new();
    for id in [
        "01935a5a-0000-7000-8000-000000000001",
        "01935a5a-0000-7000-8000-000000000002",
    ] {
        world.name = portolan_core::InstallName::parse(id).expect("an id");
        let rendered = world.render();
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
fn only_a_gateway_reaches_a_server_and_only_at_its_port() {
    let (policies, server, neighbour) = servers(World::http());
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
fn gateways_may_live_in_another_namespace() {
    let mut world = World::http();
    world.config.gateways = vec![GatewayPeer {
        namespace: Some("platform".into()),
        labels: [("app".to_owned(), "host".to_owned())].into(),
    }];
    let (policies, server, _) = servers(world);
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
fn no_gateways_means_nobody() {
    let mut world = World::http();
    world.config.gateways.clear();
    let (policies, server, _) = servers(world);
    assert!(!may_reach(&policies, &gateway(), &server, MCP));
}

#[test]
fn the_bridge_is_reached_at_its_port_and_what_is_attached_to_at_none() {
    let (policies, server, _) = servers(World::command());
    assert!(may_reach(&policies, &gateway(), &server, ("TCP", 8080)));
    let (policies, server, _) = servers(World::stdio_image(None));
    assert!(!may_reach(&policies, &gateway(), &server, ("TCP", 8080)));
}

#[test]
fn a_server_reaches_the_internet_and_name_servers_and_nothing_private() {
    let (policies, server, neighbour) = servers(World::http());
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
fn off_is_nothing_at_all() {
    let mut world = World::http();
    world.environment.network = NetworkMode::Off;
    let (policies, server, _) = servers(world);
    let names = End::pod("kube-system", &[]);
    assert!(!may_reach(&policies, &server, &names, ("UDP", 53)));
    assert!(!may_reach(&policies, &server, &End::address("1.1.1.1"), HTTPS));
    assert!(may_reach(&policies, &gateway(), &server, MCP), "it still serves");
}

#[test]
fn unrestricted_is_everything_that_others_let_in() {
    let mut world = World::http();
    world.environment.network = NetworkMode::Unrestricted;
    let (policies, server, neighbour) = servers(world);
    assert!(may_reach(&policies, &server, &End::address("10.0.0.1"), HTTPS));
    assert!(may_reach(&policies, &server, &End::pod("elsewhere", &[]), HTTPS));
    assert!(!may_reach(&policies, &server, &neighbour, MCP));
}

#[test]
fn a_database_can_be_opened_up_alone() {
    let mut world = World::http();
    world.environment.network = NetworkMode::Restricted {
        internet: false,
        extra_cidrs: vec!["10.5.0.0/24".into(), "fd00:1::/64".into()],
    };
    let (policies, server, _) = servers(world);
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
fn a_range_that_is_none_is_refused() {
    for bad in ["", "10.0.0.0", "10.0.0.0/33", "::/129", "example.com/24", "10.0.0.0/-1"] {
        let mut world = World::http();
        world.environment.network = NetworkMode::Restricted {
            internet: true,
            extra_cidrs: vec![bad.into()],
        };
        assert!(world.refusal().contains("no range"), "{bad}");
    }
}

proptest! {
    #[test]
    fn no_private_address_is_reached_while_only_the_internet_is_open(bits: u32) {
        let address = std::net::Ipv4Addr::from(bits);
        let (policies, server, _) = servers(World::http());
        let is_inside = address.is_private() || address.is_loopback() || address.is_link_local() || address.is_multicast()
            || address.is_unspecified() || address.is_broadcast() || (bits >> 22) == (0x6440_0000 >> 22);
        let reached = may_reach(&policies, &server, &End::Address(address.into()), HTTPS);
        prop_assert!(!(is_inside && reached), "{address}");
    }
}
