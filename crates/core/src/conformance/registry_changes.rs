//! Cases of the change feed of [`Registry`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::BoxStream};
use tokio::time::timeout;

use super::{race, sample};
use crate::{Change, Key, Precondition, Record, Registry, Result, Revision};

/// The registry under test.
pub type Backend = Arc<dyn Registry>;

/// A feed from `Revision(0)` begins with the first change.
pub async fn feed_begins_with_earlier_changes(registry: Backend) {
    put(&registry, "a").await;
    put(&registry, "b").await;
    let mut feed = registry.changes(Revision(0));
    assert_eq!(next(&mut feed).await.key, key("a"));
    assert_eq!(next(&mut feed).await.key, key("b"));
}

/// A feed begins after its revision.
pub async fn feed_begins_after_since(registry: Backend) {
    put(&registry, "a").await;
    let seen = next(&mut registry.changes(Revision(0))).await;
    put(&registry, "b").await;
    let mut feed = registry.changes(seen.revision);
    assert_eq!(next(&mut feed).await.key, key("b"));
}

/// An open feed yields new changes.
pub async fn feed_continues_with_new_changes(registry: Backend) {
    put(&registry, "a").await;
    let mut feed = registry.changes(Revision(0));
    assert_eq!(next(&mut feed).await.key, key("a"));
    for name in ["b", "c"] {
        put(&registry, name).await;
        assert_eq!(next(&mut feed).await.key, key(name));
    }
}

/// A reader that waits is woken by the first change.
pub async fn waiting_feed_gets_first_change(registry: Backend) {
    let mut feed = registry.changes(Revision(0));
    let reader = tokio::spawn(async move { next(&mut feed).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    put(&registry, "a").await;
    assert_eq!(reader.await.expect("reader").key, key("a"));
}

/// A removal is a change of the removed key.
pub async fn removal_is_a_change(registry: Backend) {
    put(&registry, "a").await;
    let seen = next(&mut registry.changes(Revision(0))).await;
    remove(&registry, "a").await;
    let change = next(&mut registry.changes(seen.revision)).await;
    assert_eq!(change.key, key("a"));
    assert!(change.revision > seen.revision);
    assert_eq!(registry.get(&key("a")).await.expect("get"), None);
}

/// Removing an absent record is no change.
pub async fn removal_of_nothing_is_no_change(registry: Backend) {
    remove(&registry, "never").await;
    put(&registry, "a").await;
    let mut feed = registry.changes(Revision(0));
    assert_eq!(next(&mut feed).await.key, key("a"));
    remove(&registry, "never").await;
    assert_silent(&mut feed).await;
}

/// A conflict is no change.
pub async fn conflict_is_no_change(registry: Backend) {
    put(&registry, "a").await;
    let mut feed = registry.changes(Revision(0));
    next(&mut feed).await;
    registry
        .put(sample::server("a").into(), Precondition::Absent)
        .await
        .expect_err("there already");
    assert_silent(&mut feed).await;
}

/// Revisions grow from change to change.
pub async fn feed_is_in_order(registry: Backend) {
    let names: Vec<String> = (0..20).map(|number| format!("s{:02}", (number * 7) % 20)).collect();
    for name in &names {
        put(&registry, name).await;
    }
    let mut feed = registry.changes(Revision(0));
    let mut last = Revision(0);
    for name in &names {
        let change = next(&mut feed).await;
        assert_eq!(change.key, key(name), "in the order of the puts");
        assert!(change.revision > last, "{change:?} after {last:?}");
        last = change.revision;
    }
}

/// Servers, installs, gateways and tokens share one feed.
pub async fn every_kind_is_in_feed(registry: Backend) {
    let mut feed = registry.changes(Revision(0));
    for record in sample::one_of_each() {
        registry.put(record.clone(), Precondition::None).await.expect("put");
        assert_eq!(next(&mut feed).await.key, record.key());
    }
}

/// Earlier changes of a key may be left out, the last one may not.
pub async fn last_change_is_never_missing(registry: Backend) {
    for _ in 0..10 {
        put(&registry, "often").await;
    }
    put(&registry, "once").await;
    put(&registry, "often").await;
    remove(&registry, "once").await;
    put(&registry, "end").await;
    let mut feed = registry.changes(Revision(0));
    let mut told = Vec::new();
    while told.last() != Some(&key("end")) {
        told.push(next(&mut feed).await.key);
    }
    let last = |name| told.iter().rposition(|told| *told == key(name));
    assert!(last("often").is_some() && last("often") < last("once"), "{told:?}");
}

/// Two readers get the same changes.
pub async fn two_readers_see_the_same(registry: Backend) {
    for name in ["a", "b", "c"] {
        put(&registry, name).await;
    }
    let (mut one, mut two) = (registry.changes(Revision(0)), registry.changes(Revision(0)));
    for _ in 0..3 {
        assert_eq!(next(&mut one).await, next(&mut two).await);
    }
}

/// `get` sees a change that the feed has yielded.
pub async fn change_is_visible_to_get(registry: Backend) {
    let mut feed = registry.changes(Revision(0));
    let writer = {
        let registry = registry.clone();
        tokio::spawn(async move {
            for number in 0..50 {
                put(&registry, &format!("s{number}")).await;
            }
        })
    };
    for _ in 0..50 {
        let change = next(&mut feed).await;
        let found = registry.get(&change.key).await.expect("get");
        assert!(found.is_some(), "{change:?} is told and not there");
    }
    writer.await.expect("writer");
}

/// A reader that opens its feed again now and then, while writers race, knows the last state of every key in the end.
pub async fn racing_puts_lose_no_last_change(registry: Backend) {
    const WRITERS: usize = 6;
    const PUTS: usize = 20;
    let reader = tokio::spawn(follow_until(registry.clone(), WRITERS, (PUTS - 1).to_string()));
    race((0..WRITERS).map(|writer| {
        let registry = registry.clone();
        async move {
            for number in 0..PUTS {
                let record = sample::described(&format!("w{writer}"), number.to_string());
                registry.put(record.into(), Precondition::None).await.expect("put");
            }
        }
    }))
    .await;
    reader.await.expect("the reader learns every last state");
}

/// Reads the feed as a cache does, until `keys` keys have the description `last`.
async fn follow_until(registry: Backend, keys: usize, last: String) {
    let mut known = BTreeMap::new();
    let mut since = Revision(0);
    loop {
        let mut feed = registry.changes(since);
        for _ in 0..7 {
            if known.len() == keys && known.values().all(|text| *text == last) {
                return;
            }
            let change = next(&mut feed).await;
            assert!(change.revision > since, "{change:?} after {since:?}");
            since = change.revision;
            if let Some(Record::Server(server)) = registry.get(&change.key).await.expect("get").map(|found| found.value)
            {
                known.insert(change.key, server.description.unwrap_or_default());
            }
        }
    }
}

/// A feed ends with its registry.
pub async fn feed_ends_with_registry(registry: Backend) {
    put(&registry, "a").await;
    let mut feed = registry.changes(Revision(0));
    next(&mut feed).await;
    drop(registry);
    let end = timeout(Duration::from_secs(10), feed.next())
        .await
        .expect("the feed ends");
    assert!(matches!(end, None | Some(Err(_))), "{end:?}");
}

async fn put(registry: &Backend, name: &str) {
    registry
        .put(sample::server(name).into(), Precondition::None)
        .await
        .expect("put");
}

async fn remove(registry: &Backend, name: &str) {
    registry.remove(&key(name), Precondition::None).await.expect("remove");
}

async fn next(feed: &mut BoxStream<'static, Result<Change>>) -> Change {
    let change = timeout(Duration::from_secs(10), feed.next())
        .await
        .expect("a change within 10 s");
    change.expect("the feed goes on").expect("a change")
}

/// Fails if the feed tells anything within a moment.
async fn assert_silent(feed: &mut BoxStream<'static, Result<Change>>) {
    let told = timeout(Duration::from_millis(300), feed.next()).await;
    assert!(told.is_err(), "nothing changed, but the feed tells {told:?}");
}

fn key(name: &str) -> Key {
    Key::Server(sample::server_name(name))
}
