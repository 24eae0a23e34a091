//! Cases of [`Registry`]: get, put, remove, list. The change feed is in [`registry_changes`](super::registry_changes).

use std::{sync::Arc, time::Duration};

use super::{assert_conflict, assert_one_winner, race, sample};
use crate::{Error, Key, Page, Precondition, Record, RecordKind, Registry, RegistryExt, Result, Version, Versioned};

/// The registry under test.
pub type Backend = Arc<dyn Registry>;

/// `get` of an unknown key is `None`.
pub async fn unknown_key_is_none(registry: Backend) {
    for record in sample::one_of_each() {
        assert_eq!(registry.get(&record.key()).await.expect("get"), None);
    }
}

/// `get` after a `put` gives that record with the version that `put` gave.
pub async fn put_then_get(registry: Backend) {
    let version = put(&registry, "time", "a", Precondition::None).await.expect("put");
    assert_eq!(get(&registry, "time").await, Some(("a".into(), version)));
}

/// Records of every kind come back as they were put.
pub async fn every_kind_is_kept(registry: Backend) {
    for record in sample::one_of_each() {
        registry.put(record.clone(), Precondition::None).await.expect("put");
    }
    for record in sample::one_of_each() {
        let found = registry.get(&record.key()).await.expect("get").expect("is there");
        assert_eq!(found.value, record);
    }
}

/// Raw JSON comes back byte for byte: spaces, order, escapes and numbers.
pub async fn raw_json_is_kept(registry: Backend) {
    registry
        .put(sample::install(1).into(), Precondition::None)
        .await
        .expect("put");
    let found = registry.install(&sample::install_name(1)).await.expect("get").value;
    assert_eq!(found.tools[0].definition().get(), sample::ODD_TOOL);
}

/// A server and a gateway of one name are two records.
pub async fn keys_of_kinds_are_apart(registry: Backend) {
    registry
        .put(sample::server("same").into(), Precondition::Absent)
        .await
        .expect("server");
    registry
        .put(sample::gateway("same").into(), Precondition::Absent)
        .await
        .expect("gateway");
    remove(&registry, "same", Precondition::None).await.expect("remove");
    assert!(registry.gateway(&sample::gateway_name("same")).await.is_ok());
}

/// Without a precondition, the last put wins.
pub async fn unconditional_put_replaces(registry: Backend) {
    put(&registry, "time", "a", Precondition::None).await.expect("put");
    let version = put(&registry, "time", "b", Precondition::None)
        .await
        .expect("put again");
    assert_eq!(get(&registry, "time").await, Some(("b".into(), version)));
}

/// `Precondition::Absent` fails where there is a record.
pub async fn first_put_on_record_conflicts(registry: Backend) {
    put(&registry, "time", "a", Precondition::Absent).await.expect("first");
    assert_conflict(
        &put(&registry, "time", "b", Precondition::Absent)
            .await
            .expect_err("second"),
    );
}

/// An outdated version is a conflict.
pub async fn stale_put_conflicts(registry: Backend) {
    let first = put(&registry, "time", "a", Precondition::Absent).await.expect("first");
    put(&registry, "time", "b", Precondition::Version(first))
        .await
        .expect("second");
    assert_conflict(
        &put(&registry, "time", "c", Precondition::Version(first))
            .await
            .expect_err("stale"),
    );
}

/// The present version is no conflict.
pub async fn put_with_version_replaces(registry: Backend) {
    let first = put(&registry, "time", "a", Precondition::Absent).await.expect("first");
    let second = put(&registry, "time", "b", Precondition::Version(first))
        .await
        .expect("second");
    assert_eq!(get(&registry, "time").await, Some(("b".into(), second)));
}

/// A version of an unknown or removed record is a conflict.
pub async fn put_with_version_on_nothing_conflicts(registry: Backend) {
    let version = put(&registry, "time", "a", Precondition::Absent).await.expect("first");
    let never = put(&registry, "other", "a", Precondition::Version(version)).await;
    assert_conflict(&never.expect_err("never there"));
    remove(&registry, "time", Precondition::None).await.expect("remove");
    let gone = put(&registry, "time", "b", Precondition::Version(version)).await;
    assert_conflict(&gone.expect_err("gone"));
    assert_eq!(get(&registry, "time").await, None);
}

/// Each put gives another version, also of an equal record.
pub async fn each_put_gives_another_version(registry: Backend) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let version = put(&registry, "time", "same", Precondition::None).await.expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
    }
}

/// A task with a version from before a removal must not overwrite the record after it.
pub async fn no_version_comes_again_after_removal(registry: Backend) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let version = put(&registry, "time", "same", Precondition::Absent).await.expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
        remove(&registry, "time", Precondition::None).await.expect("remove");
    }
}

/// A conflict changes neither the record nor its version.
pub async fn conflicting_put_writes_nothing(registry: Backend) {
    let first = put(&registry, "time", "a", Precondition::Absent).await.expect("first");
    let second = put(&registry, "time", "b", Precondition::Version(first))
        .await
        .expect("second");
    put(&registry, "time", "c", Precondition::Version(first))
        .await
        .expect_err("stale");
    put(&registry, "time", "d", Precondition::Absent)
        .await
        .expect_err("there");
    assert_eq!(get(&registry, "time").await, Some(("b".into(), second)));
}

/// A dropped put leaves the old record or the new one, with its version.
pub async fn dropped_put_is_atomic(registry: Backend) {
    for micros in [0, 20, 100, 500, 2_000, 10_000] {
        let old = put(&registry, "time", "old", Precondition::None).await.expect("put");
        let dropped = put(&registry, "time", "new", Precondition::Version(old));
        let _ = tokio::time::timeout(Duration::from_micros(micros), dropped).await;
        let (text, version) = get(&registry, "time").await.expect("is there");
        match text.as_str() {
            "old" => assert_eq!(version, old, "nothing written"),
            "new" => assert_ne!(version, old, "everything written"),
            other => panic!("neither the old nor the new record: {other}"),
        }
        put(&registry, "time", "after", Precondition::None)
            .await
            .expect("the registry goes on");
    }
}

/// Of many tasks that put the same key first, one succeeds, and its record stays.
pub async fn one_racing_first_put_wins(registry: Backend) {
    for round in 0..5 {
        let name = format!("race-{round}");
        let results = race((0..8).map(|task| {
            let (registry, name) = (registry.clone(), name.clone());
            async move { put(&registry, &name, &task.to_string(), Precondition::Absent).await }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one").to_string();
        assert_eq!(get(&registry, &name).await.expect("is there").0, winner);
    }
}

/// Of many tasks that put with the same version, one succeeds.
pub async fn one_racing_put_wins(registry: Backend) {
    let mut version = put(&registry, "time", "start", Precondition::Absent)
        .await
        .expect("first");
    for _ in 0..5 {
        let results = race((0..8).map(|task| {
            let registry = registry.clone();
            async move { put(&registry, "time", &task.to_string(), Precondition::Version(version)).await }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one").to_string();
        let (text, now) = get(&registry, "time").await.expect("is there");
        assert_eq!(text, winner);
        version = now;
    }
}

/// Tasks that read, add one and write with the version lose no addition.
pub async fn racing_updates_lose_nothing(registry: Backend) {
    put(&registry, "count", "0", Precondition::Absent).await.expect("first");
    race((0..4).map(|_| {
        let registry = registry.clone();
        async move {
            for _ in 0..10 {
                while !add_one(&registry).await {}
            }
        }
    }))
    .await;
    assert_eq!(get(&registry, "count").await.expect("is there").0, "40");
}

async fn add_one(registry: &Backend) -> bool {
    let (text, version) = get(registry, "count").await.expect("is there");
    let next = text.parse::<u32>().expect("a number") + 1;
    match put(registry, "count", &next.to_string(), Precondition::Version(version)).await {
        Ok(_) => true,
        Err(Error::Conflict { .. }) => false,
        Err(other) => panic!("a conflict, not {other:?}"),
    }
}

/// `get` and `list` no longer know a removed record.
pub async fn removed_is_gone(registry: Backend) {
    for record in sample::one_of_each() {
        registry.put(record.clone(), Precondition::None).await.expect("put");
        registry
            .remove(&record.key(), Precondition::None)
            .await
            .expect("remove");
        assert_eq!(registry.get(&record.key()).await.expect("get"), None);
        assert_eq!(
            registry.list(record.key().kind(), Page::first()).await.expect("list"),
            []
        );
    }
}

/// Removing an absent record succeeds.
pub async fn removing_twice_succeeds(registry: Backend) {
    remove(&registry, "never", Precondition::None)
        .await
        .expect("never there");
    put(&registry, "time", "a", Precondition::None).await.expect("put");
    remove(&registry, "time", Precondition::None).await.expect("remove");
    remove(&registry, "time", Precondition::None)
        .await
        .expect("remove again");
}

/// The present version is no conflict for `remove`.
pub async fn remove_with_version_succeeds(registry: Backend) {
    let version = put(&registry, "time", "a", Precondition::None).await.expect("put");
    remove(&registry, "time", Precondition::Version(version))
        .await
        .expect("remove");
    assert_eq!(get(&registry, "time").await, None);
}

/// An outdated version is a conflict for `remove`, and the record stays.
pub async fn stale_remove_conflicts(registry: Backend) {
    let first = put(&registry, "time", "a", Precondition::None).await.expect("put");
    let second = put(&registry, "time", "b", Precondition::None)
        .await
        .expect("put again");
    assert_conflict(
        &remove(&registry, "time", Precondition::Version(first))
            .await
            .expect_err("stale"),
    );
    assert_eq!(get(&registry, "time").await, Some(("b".into(), second)));
}

/// Removing an absent record with a version is a conflict.
pub async fn remove_with_version_of_nothing_conflicts(registry: Backend) {
    let version = put(&registry, "time", "a", Precondition::None).await.expect("put");
    remove(&registry, "time", Precondition::Version(version))
        .await
        .expect("remove");
    let again = remove(&registry, "time", Precondition::Version(version)).await;
    assert_conflict(&again.expect_err("gone"));
}

/// `Precondition::Absent` of `remove` succeeds for an absent record and is a conflict for a present one.
pub async fn remove_checks_absent_precondition(registry: Backend) {
    remove(&registry, "time", Precondition::Absent)
        .await
        .expect("nothing is there");
    let version = put(&registry, "time", "a", Precondition::None).await.expect("put");
    assert_conflict(
        &remove(&registry, "time", Precondition::Absent)
            .await
            .expect_err("something is there"),
    );
    assert_eq!(get(&registry, "time").await, Some(("a".into(), version)));
}

/// Of puts and removals with the same version, one succeeds.
pub async fn one_racing_put_or_remove_wins(registry: Backend) {
    for _ in 0..5 {
        let version = put(&registry, "time", "old", Precondition::None).await.expect("put");
        let results = race((0..8).map(|task| {
            let registry = registry.clone();
            async move {
                let when = Precondition::Version(version);
                match task % 2 {
                    0 => put(&registry, "time", "new", when).await.map(drop),
                    _ => remove(&registry, "time", when).await,
                }
            }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one");
        let now = get(&registry, "time").await.map(|(text, _)| text);
        assert_eq!(now.as_deref(), (winner % 2 == 0).then_some("new"));
    }
}

/// A list without records is one empty page.
pub async fn empty_list_has_no_page(registry: Backend) {
    for kind in [
        RecordKind::Server,
        RecordKind::Install,
        RecordKind::Gateway,
        RecordKind::Token,
    ] {
        assert_eq!(registry.list(kind, Page::first()).await.expect("list"), []);
    }
}

/// Names that a natural-language collation would sort otherwise.
const NAMES: [&str; 8] = ["1", "a", "a-b", "a-z", "a1", "aa", "ab", "b"];

/// Records are in the order of the bytes of their keys.
pub async fn list_is_sorted(registry: Backend) {
    for name in NAMES.iter().rev() {
        put(&registry, name, "", Precondition::None).await.expect("put");
    }
    assert_eq!(
        names(&registry.list(RecordKind::Server, Page::first()).await.expect("list")),
        NAMES
    );
}

/// The lists of all kinds are sorted and hold one kind each.
pub async fn list_of_every_kind_is_sorted(registry: Backend) {
    let numbers = [3_u8, 255, 1, 128, 2];
    for number in numbers {
        let install = sample::install(u128::from(number) << 64);
        registry.put(install.into(), Precondition::None).await.expect("install");
        registry
            .put(sample::token(number).into(), Precondition::None)
            .await
            .expect("token");
        registry
            .put(sample::gateway(&format!("g{number}")).into(), Precondition::None)
            .await
            .expect("gateway");
    }
    for kind in [RecordKind::Install, RecordKind::Token, RecordKind::Gateway] {
        let keys: Vec<Key> = all(&registry, kind, 500)
            .await
            .iter()
            .map(|found| found.value.key())
            .collect();
        assert_eq!(keys.len(), numbers.len(), "all of {kind:?} and no other: {keys:?}");
        assert!(
            keys.is_sorted() && keys.iter().all(|key| key.kind() == kind),
            "{keys:?}"
        );
    }
}

/// With any limit, the pages make up the list, each within its limit and none empty before the end.
pub async fn pages_make_up_the_list(registry: Backend) {
    for name in NAMES {
        put(&registry, name, "", Precondition::None).await.expect("put");
    }
    for limit in 1..=NAMES.len() + 1 {
        assert_eq!(
            names(&all(&registry, RecordKind::Server, limit).await),
            NAMES,
            "by {limit}"
        );
    }
}

/// A page begins after a key, whether or not there is a record under it.
pub async fn page_begins_after_absent_key(registry: Backend) {
    for name in NAMES {
        put(&registry, name, "", Precondition::None).await.expect("put");
    }
    remove(&registry, "a1", Precondition::None).await.expect("remove");
    let after_removed = registry
        .list(RecordKind::Server, Page::after(server_key("a1")))
        .await
        .expect("list");
    assert_eq!(names(&after_removed), ["aa", "ab", "b"]);
    let after_never = registry
        .list(RecordKind::Server, Page::after(server_key("a-c")))
        .await
        .expect("list");
    assert_eq!(names(&after_never), ["a-z", "aa", "ab", "b"]);
    let after_all = registry
        .list(RecordKind::Server, Page::after(server_key("zz")))
        .await
        .expect("list");
    assert_eq!(after_all, []);
}

/// A list has the values and versions that `get` gives.
pub async fn list_agrees_with_get(registry: Backend) {
    for number in 1..4 {
        registry
            .put(sample::install(number).into(), Precondition::None)
            .await
            .expect("put");
    }
    for listed in all(&registry, RecordKind::Install, 2).await {
        assert_eq!(registry.get(&listed.value.key()).await.expect("get"), Some(listed));
    }
}

/// `limit` 0 is invalid, because its page would look like the end of the list.
pub async fn limit_zero_is_invalid(registry: Backend) {
    put(&registry, "time", "", Precondition::None).await.expect("put");
    let refused = registry.list(RecordKind::Server, Page { after: None, limit: 0 }).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "{refused:?}");
}

/// The greatest limit is valid.
pub async fn greatest_limit_is_valid(registry: Backend) {
    put(&registry, "time", "", Precondition::None).await.expect("put");
    let page = Page {
        after: None,
        limit: usize::MAX,
    };
    assert_eq!(
        names(&registry.list(RecordKind::Server, page).await.expect("list")),
        ["time"]
    );
}

async fn put(registry: &Backend, name: &str, text: &str, when: Precondition) -> Result<Version> {
    registry.put(sample::described(name, text).into(), when).await
}

async fn get(registry: &Backend, name: &str) -> Option<(String, Version)> {
    let found = registry.get(&server_key(name)).await.expect("get")?;
    match found.value {
        Record::Server(server) => Some((server.description.unwrap_or_default(), found.version)),
        other => panic!("a server, not {other:?}"),
    }
}

async fn remove(registry: &Backend, name: &str, when: Precondition) -> Result<()> {
    registry.remove(&server_key(name), when).await
}

async fn all(registry: &Backend, kind: RecordKind, limit: usize) -> Vec<Versioned<Record>> {
    let mut found: Vec<Versioned<Record>> = Vec::new();
    loop {
        let after = found.last().map(|last| last.value.key());
        let page = registry.list(kind, Page { after, limit }).await.expect("list");
        assert!(page.len() <= limit, "{} are more than {limit}", page.len());
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

fn names(records: &[Versioned<Record>]) -> Vec<String> {
    records.iter().map(|found| found.value.key().name()).collect()
}

fn server_key(name: &str) -> Key {
    Key::Server(sample::server_name(name))
}
