//! Cases of [`Gateway`], as far as it can be seen from outside of the endpoint.

use std::sync::Arc;

use super::{race, sample};
use crate::{Gateway, Publication, Route};

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

fn publication(name: &str) -> Publication {
    let mut install = sample::install(1);
    install.state = crate::InstallState::Ready;
    let route = Route::new(sample::server("time").into(), vec![install.into()], true);
    Publication::new(sample::gateway(name), vec![route])
}

fn empty(name: &str) -> Publication {
    Publication::new(sample::gateway(name), Vec::new())
}

async fn published(gateway: &Backend) -> Vec<String> {
    let names = gateway.published().await.expect("published");
    names.iter().map(ToString::to_string).collect()
}
