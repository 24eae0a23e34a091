//! Cases of [`Gateway`], as far as it can be seen from outside of the endpoint.

use std::sync::Arc;

use super::{race, sample};
use crate::{Error, Gateway, InstallSet, Publication, PublicationChange, Route};

/// The gateway under test.
pub type Backend = Arc<dyn Gateway>;

/// A fresh gateway has no publications.
pub async fn nothing_is_published_at_first(gateway: Backend) {
    assert_eq!(published(&gateway).await, [""; 0]);
}

/// Names are sorted, whatever the order of publishing.
pub async fn published_is_sorted(gateway: Backend) {
    for name in ["b", "a1", "a", "a-b", "c"] {
        gateway.publish(publication(name)).await.expect("publish");
    }
    assert_eq!(published(&gateway).await, ["a", "a-b", "a1", "b", "c"]);
}

/// Publishing an equal or another publication under one name is one gateway.
pub async fn publishing_again_is_one_gateway(gateway: Backend) {
    gateway.publish(publication("a")).await.expect("publish");
    gateway.publish(publication("a")).await.expect("the same again");
    gateway.publish(empty("a")).await.expect("something else");
    assert_eq!(published(&gateway).await, ["a"]);
}

/// A gateway without routes is served.
pub async fn gateway_without_routes_is_served(gateway: Backend) {
    gateway.publish(empty("a")).await.expect("publish");
    assert_eq!(published(&gateway).await, ["a"]);
}

/// A withdrawn gateway is unknown.
pub async fn withdrawn_is_unknown(gateway: Backend) {
    gateway.publish(publication("a")).await.expect("publish");
    gateway.withdraw(&sample::gateway_name("a")).await.expect("withdraw");
    assert_eq!(published(&gateway).await, [""; 0]);
}

/// Withdrawing an unknown gateway succeeds.
pub async fn withdrawing_twice_succeeds(gateway: Backend) {
    gateway
        .withdraw(&sample::gateway_name("never"))
        .await
        .expect("never there");
    gateway.publish(publication("a")).await.expect("publish");
    gateway.withdraw(&sample::gateway_name("a")).await.expect("withdraw");
    gateway
        .withdraw(&sample::gateway_name("a"))
        .await
        .expect("withdraw again");
}

/// Withdrawing one gateway leaves the others.
pub async fn withdrawing_one_leaves_the_others(gateway: Backend) {
    for name in ["a", "b", "c"] {
        gateway.publish(publication(name)).await.expect("publish");
    }
    gateway.withdraw(&sample::gateway_name("b")).await.expect("withdraw");
    assert_eq!(published(&gateway).await, ["a", "c"]);
}

/// A withdrawn gateway can be published again.
pub async fn withdrawn_can_be_published_again(gateway: Backend) {
    gateway.publish(publication("a")).await.expect("publish");
    gateway.withdraw(&sample::gateway_name("a")).await.expect("withdraw");
    gateway.publish(publication("a")).await.expect("publish again");
    assert_eq!(published(&gateway).await, ["a"]);
}

/// Racing publications under one name are one gateway.
pub async fn racing_publications_are_one_gateway(gateway: Backend) {
    let results = race((0..8).map(|task| {
        let gateway = gateway.clone();
        async move {
            let publication = if task % 2 == 0 { publication("a") } else { empty("a") };
            gateway.publish(publication).await
        }
    }))
    .await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(published(&gateway).await, ["a"]);
}

/// Changes are made to published gateways, again without effect, and leave the others.
pub async fn changes_are_applied(gateway: Backend) {
    for name in ["a", "b"] {
        gateway.publish(empty(name)).await.expect("publish");
    }
    for _ in 0..2 {
        gateway.apply(every_change("a")).await.expect("apply");
        assert_eq!(published(&gateway).await, ["a", "b"]);
    }
    gateway.apply(Vec::new()).await.expect("no change");
}

/// Changes of a gateway that is not published do not publish it.
pub async fn changes_of_unknown_gateway_are_not_found(gateway: Backend) {
    let refused = gateway.apply(every_change("a")).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    assert_eq!(published(&gateway).await, [""; 0]);
    gateway.publish(publication("a")).await.expect("publish");
    gateway.withdraw(&sample::gateway_name("a")).await.expect("withdraw");
    let refused = gateway.apply(every_change("a")).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
}

/// Installs of a server to which there is no route are not taken.
pub async fn installs_without_route_are_not_found(gateway: Backend) {
    gateway.publish(empty("a")).await.expect("publish");
    let change = PublicationChange::Installs {
        gateway: sample::gateway_name("a"),
        server: sample::server_name("time"),
        installs: InstallSet::default(),
        changed: Vec::new(),
    };
    let refused = gateway.apply(vec![change]).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    assert_eq!(published(&gateway).await, ["a"]);
}

/// A route, its installs, the spec, and the removal of the route.
fn every_change(name: &str) -> Vec<PublicationChange> {
    let gateway = sample::gateway_name(name);
    let mut spec = sample::gateway(name);
    spec.instructions = Some("changed".into());
    let mut install = sample::install(2);
    install.state = crate::InstallState::Ready;
    vec![
        PublicationChange::Route {
            gateway: gateway.clone(),
            route: route(),
        },
        PublicationChange::Installs {
            gateway: gateway.clone(),
            server: sample::server_name("time"),
            changed: vec![install.name],
            installs: route().installs.with(install.into()),
        },
        PublicationChange::Spec(spec.into()),
        PublicationChange::RouteRemoved {
            gateway,
            server: sample::server_name("time"),
        },
    ]
}

fn route() -> Route {
    let mut install = sample::install(1);
    install.state = crate::InstallState::Ready;
    let installs = InstallSet::from_iter([Arc::new(install)]);
    Route::new(sample::server("time").into(), installs, true)
}

fn publication(name: &str) -> Publication {
    Publication::new(sample::gateway(name), vec![route()])
}

fn empty(name: &str) -> Publication {
    Publication::new(sample::gateway(name), Vec::new())
}

async fn published(gateway: &Backend) -> Vec<String> {
    let names = gateway.published().await.expect("published");
    names.iter().map(ToString::to_string).collect()
}
