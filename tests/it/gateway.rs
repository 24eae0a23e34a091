//! Changes to gateways.

use futures_util::{FutureExt, StreamExt};
use portolan::{
    Naming, RegistryExt, ResourceNaming, Selection,
    core::{Key, Revision},
};

use crate::support::Place;

#[tokio::test]
async fn several_changes_are_one_write() {
    let place = Place::new();
    let platform = place.platform().await;
    let name = platform
        .gateway("default")
        .naming(Naming::Plain)
        .resource_naming(ResourceNaming::Prefix)
        .select(Selection::All)
        .await
        .expect("a gateway");
    let gateway = platform.registry().gateway(&name).await.expect("is there").value;
    assert_eq!(
        (gateway.naming, gateway.resource_naming),
        (Naming::Plain, ResourceNaming::Prefix)
    );
    let mut changes = platform.registry().changes(Revision(0));
    let first = changes.next().await.expect("a change").expect("readable");
    assert_eq!((first.revision, first.key), (Revision(1), Key::Gateway(name.clone())));
    platform
        .gateway("default")
        .select(Selection::All)
        .await
        .expect("the same");
    assert!(changes.next().now_or_never().is_none(), "the same again writes nothing");
    platform.gateway("Not A Name").await.expect_err("no name");
}
