//! What gateways serve.

use std::sync::Arc;

use portolan_core::{
    Assignment, Gateway, GatewaySpec, Install, InstallState, Labels, Precondition, Registry, Selection, ServerSpec,
    ToolName, conformance::sample, orchestrator::publication,
};

use super::World;

fn install(number: u128, server: &str, state: InstallState) -> Arc<Install> {
    let mut install = sample::install(number);
    (install.server, install.state) = (sample::server_name(server), state);
    install.into()
}

fn servers() -> Vec<Arc<ServerSpec>> {
    let labelled = |name, labels: &[(&str, &str)]| {
        let mut server = sample::server(name);
        server.labels = Labels::new(labels.iter().copied()).expect("labels");
        Arc::new(server)
    };
    vec![
        labelled("b", &[("team", "web"), ("stage", "test")]),
        labelled("a", &[("team", "data")]),
        labelled("c", &[("stage", "prod")]),
    ]
}

fn installs() -> Vec<Arc<Install>> {
    let pending = InstallState::Pending;
    vec![
        install(3, "a", InstallState::Ready),
        install(1, "a", InstallState::Ready),
        install(2, "b", InstallState::Ready),
        install(4, "b", pending),
        install(5, "c", InstallState::Removing),
    ]
}

/// Each route as `server: installs`, pinned ones with a `!`.
fn routes(gateway: &GatewaySpec) -> Vec<String> {
    let publication = publication(gateway, &servers(), &installs());
    let route = |route: &portolan_core::Route| {
        let installs: Vec<_> = route
            .installs
            .iter()
            .map(|install| install.name.as_uuid().as_u128())
            .collect();
        format!(
            "{}: {installs:?}{}",
            route.server.name,
            if route.pinned { "!" } else { "" }
        )
    };
    publication.routes.iter().map(route).collect()
}

fn selecting(selection: Selection) -> GatewaySpec {
    let mut gateway = sample::gateway("g");
    gateway.selection = selection;
    gateway
}

#[test]
fn all_selects_every_ready_server() {
    assert_eq!(routes(&selecting(Selection::All)), ["a: [1, 3]", "b: [2]"]);
}

#[test]
fn labels_select_by_shared_pair() {
    assert_eq!(routes(&selecting(Selection::ByLabels)), ["b: [2]"]);
}

#[test]
fn assignments_use_ready_installs_only() {
    let pinned = |number, server: &str| Assignment::pinned(&install(number, server, InstallState::Ready));
    let assigned = vec![
        pinned(3, "a"),
        Assignment::resolved(sample::server_name("b")),
        pinned(4, "b"),
        pinned(2, "a"),
        Assignment::resolved(sample::server_name("c")),
        Assignment::resolved(sample::server_name("unknown")),
    ];
    assert_eq!(routes(&selecting(Selection::Assigned(assigned))), ["a: [3]!", "b: [2]"]);
}

#[test]
fn assignment_limits_tools() {
    let mut assignment = Assignment::resolved(sample::server_name("a"));
    assignment.tools = Some(vec![ToolName::parse("now").expect("a tool")]);
    let gateway = selecting(Selection::Assigned(vec![assignment.clone()]));
    assert_eq!(
        publication(&gateway, &servers(), &installs()).routes[0].tools,
        assignment.tools
    );
}

#[tokio::test]
async fn publish_all_withdraws_unrecorded_gateways() {
    let world = World::new().await;
    let stray = portolan_core::Publication::new(sample::gateway("stray"), Vec::new());
    world.gateway.publish(stray).await.expect("publish");
    world.orchestrator().publish_all().await.expect("publish all");
    let published = world.gateway.published().await.expect("published");
    assert_eq!(
        published.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["all", "assigned", "labels"]
    );
}

#[tokio::test]
async fn publish_withdraws_unrecorded_gateway() {
    let world = World::new().await;
    let name = sample::gateway_name("all");
    world
        .registry
        .remove(&portolan_core::Key::Gateway(name.clone()), Precondition::None)
        .await
        .expect("remove");
    world.orchestrator().publish(&name).await.expect("publish");
    assert!(world.gateway.publication(&name).is_none());
}
