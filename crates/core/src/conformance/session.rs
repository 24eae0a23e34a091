//! Cases of [`SessionStore`]. Time is handed in, so none of them waits.

use std::sync::Arc;

use bytes::Bytes;

use super::{assert_conflict, assert_one_winner, race, sample::time};
use crate::{Precondition, Result, SessionStore, Version};

/// The store under test.
pub type Backend = Arc<dyn SessionStore>;

/// A key without a state is `None`.
pub async fn unknown_key_is_none(store: Backend) {
    assert_eq!(store.get("never", time(0)).await.expect("get"), None);
}

/// `get` after a `put` gives that state with the version that `put` gave.
pub async fn put_then_get(store: Backend) {
    let version = put(&store, "s", "one", Precondition::None).await.expect("put");
    assert_eq!(get(&store, "s", 0).await, Some(("one".into(), version)));
}

/// A state may hold any bytes, none or many.
pub async fn any_state_is_kept(store: Backend) {
    let states = [
        Bytes::new(),
        Bytes::from_static(b"\0\xff\xfe'\""),
        Bytes::from(vec![0xa5; 100_000]),
    ];
    for state in states {
        store
            .put("s", state.clone(), time(60), time(0), Precondition::None)
            .await
            .expect("put");
        let found = store.get("s", time(0)).await.expect("get").expect("is there").value;
        assert!(found == state, "a state of {} bytes changed", state.len());
    }
}

/// Keys may be text of any kind.
pub async fn keys_are_apart(store: Backend) {
    let keys = ["s", "S", "s ", "s/1", "s%", "s_", "ключ ☕", "'\"\\"];
    for key in keys {
        put(&store, key, key, Precondition::Absent).await.expect("put");
    }
    store.remove("s").await.expect("remove");
    for key in keys {
        let found = get(&store, key, 0).await.map(|(state, _)| state);
        assert_eq!(found.as_deref(), (key != "s").then_some(key));
    }
}

/// Without a precondition, the last put wins.
pub async fn unconditional_put_replaces(store: Backend) {
    put(&store, "s", "one", Precondition::None).await.expect("put");
    let version = put(&store, "s", "two", Precondition::None).await.expect("put again");
    assert_eq!(get(&store, "s", 0).await, Some(("two".into(), version)));
}

/// A put sets the expiry, later or earlier than the one before.
pub async fn put_sets_expiry(store: Backend) {
    put_until(&store, "s", 60, 0, Precondition::None).await.expect("put");
    put_until(&store, "s", 120, 30, Precondition::None)
        .await
        .expect("later");
    assert!(get(&store, "s", 90).await.is_some());
    put_until(&store, "s", 100, 90, Precondition::None)
        .await
        .expect("sooner");
    assert!(get(&store, "s", 110).await.is_none());
}

/// `Precondition::Absent` fails where there is a state.
pub async fn first_put_on_state_conflicts(store: Backend) {
    put(&store, "s", "one", Precondition::Absent).await.expect("first");
    assert_conflict(&put(&store, "s", "two", Precondition::Absent).await.expect_err("second"));
}

/// An outdated version is a conflict.
pub async fn stale_put_conflicts(store: Backend) {
    let first = put(&store, "s", "one", Precondition::Absent).await.expect("first");
    put(&store, "s", "two", Precondition::Version(first))
        .await
        .expect("second");
    assert_conflict(
        &put(&store, "s", "three", Precondition::Version(first))
            .await
            .expect_err("stale"),
    );
}

/// The present version is no conflict.
pub async fn put_with_version_replaces(store: Backend) {
    let first = put(&store, "s", "one", Precondition::Absent).await.expect("first");
    let second = put(&store, "s", "two", Precondition::Version(first))
        .await
        .expect("second");
    assert_eq!(get(&store, "s", 0).await, Some(("two".into(), second)));
}

/// A version of an absent state is a conflict.
pub async fn put_with_version_on_nothing_conflicts(store: Backend) {
    let version = put(&store, "s", "one", Precondition::Absent).await.expect("first");
    store.remove("s").await.expect("remove");
    let gone = put(&store, "s", "two", Precondition::Version(version)).await;
    assert_conflict(&gone.expect_err("gone"));
    assert_eq!(get(&store, "s", 0).await, None);
}

/// A conflict changes neither the state nor its version nor its expiry.
pub async fn conflicting_put_writes_nothing(store: Backend) {
    let first = put_until(&store, "s", 60, 0, Precondition::Absent)
        .await
        .expect("first");
    let second = put_until(&store, "s", 60, 0, Precondition::Version(first))
        .await
        .expect("second");
    put_until(&store, "s", 600, 0, Precondition::Version(first))
        .await
        .expect_err("stale");
    put_until(&store, "s", 600, 0, Precondition::Absent)
        .await
        .expect_err("there");
    assert_eq!(get(&store, "s", 0).await.map(|(_, version)| version), Some(second));
    assert_eq!(get(&store, "s", 100).await, None);
}

/// Each put gives another version, also of an equal state.
pub async fn each_put_gives_another_version(store: Backend) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let version = put(&store, "s", "same", Precondition::None).await.expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
    }
}

/// No version comes again after a removal, an expiry or a sweep.
pub async fn no_version_comes_again(store: Backend) {
    let mut seen = Vec::new();
    for round in 0..6 {
        let (now, end) = (round * 100, round * 100 + 50);
        let version = put_until(&store, "s", end, now, Precondition::Absent)
            .await
            .expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
        match round % 3 {
            0 => store.remove("s").await.expect("remove"),
            1 => assert_eq!(store.sweep(time(end + 1)).await.expect("sweep"), 1),
            _ => {}
        }
    }
}

/// A state is there until it expires, and then `None`.
pub async fn expired_is_none(store: Backend) {
    put_until(&store, "s", 60, 0, Precondition::None).await.expect("put");
    assert!(get(&store, "s", 59).await.is_some());
    assert!(get(&store, "s", 61).await.is_none());
}

/// An expired state is absent for every precondition.
pub async fn expired_counts_as_absent(store: Backend) {
    let version = put_until(&store, "s", 60, 0, Precondition::Absent).await.expect("put");
    let stale = put_until(&store, "s", 120, 61, Precondition::Version(version)).await;
    assert_conflict(&stale.expect_err("expired"));
    put_until(&store, "s", 120, 61, Precondition::Absent)
        .await
        .expect("expired is absent");
    assert!(get(&store, "s", 100).await.is_some());
}

/// Of many tasks that put the same key first, one succeeds, and its state stays.
pub async fn one_racing_first_put_wins(store: Backend) {
    for round in 0..5 {
        let key = format!("race-{round}");
        let results = race((0..8).map(|task| {
            let (store, key) = (store.clone(), key.clone());
            async move { put(&store, &key, &task.to_string(), Precondition::Absent).await }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one").to_string();
        assert_eq!(get(&store, &key, 0).await.expect("is there").0, winner);
    }
}

/// Of many tasks that put with the same version, one succeeds.
pub async fn one_racing_put_wins(store: Backend) {
    let mut version = put(&store, "s", "start", Precondition::Absent).await.expect("first");
    for _ in 0..5 {
        let results = race((0..8).map(|task| {
            let store = store.clone();
            async move { put(&store, "s", &task.to_string(), Precondition::Version(version)).await }
        }))
        .await;
        assert_one_winner(&results);
        version = get(&store, "s", 0).await.expect("is there").1;
    }
}

/// Of many tasks that replace an expired state with `Precondition::Absent`, one succeeds.
pub async fn one_racing_put_on_expired_wins(store: Backend) {
    put_until(&store, "s", 60, 0, Precondition::Absent).await.expect("put");
    let results = race((0..8).map(|_| {
        let store = store.clone();
        async move { put_until(&store, "s", 120, 61, Precondition::Absent).await }
    }))
    .await;
    assert_one_winner(&results);
}

/// A removed state is `None`.
pub async fn removed_is_gone(store: Backend) {
    put(&store, "s", "one", Precondition::None).await.expect("put");
    store.remove("s").await.expect("remove");
    assert_eq!(get(&store, "s", 0).await, None);
}

/// Removing an absent state succeeds.
pub async fn removing_twice_succeeds(store: Backend) {
    store.remove("never").await.expect("never there");
    put(&store, "s", "one", Precondition::None).await.expect("put");
    store.remove("s").await.expect("remove");
    store.remove("s").await.expect("remove again");
}

/// `sweep` removes the expired states and returns their number.
pub async fn sweep_removes_only_expired(store: Backend) {
    for (key, end) in [("a", 10), ("b", 20), ("c", 100), ("d", 5)] {
        put_until(&store, key, end, 0, Precondition::None).await.expect("put");
    }
    assert_eq!(store.sweep(time(50)).await.expect("sweep"), 3);
    assert_eq!(store.sweep(time(50)).await.expect("sweep again"), 0);
    assert!(get(&store, "c", 50).await.is_some());
    for key in ["a", "b", "d"] {
        // Asked for a time at which it was good: it is gone, not merely hidden.
        assert!(get(&store, key, 0).await.is_none(), "{key} was swept");
    }
}

/// `sweep` without expired states returns 0.
pub async fn sweep_of_nothing_is_zero(store: Backend) {
    assert_eq!(store.sweep(time(0)).await.expect("sweep"), 0);
}

async fn put(store: &Backend, key: &str, state: &str, when: Precondition) -> Result<Version> {
    let state = Bytes::copy_from_slice(state.as_bytes());
    store.put(key, state, time(60), time(0), when).await
}

async fn put_until(store: &Backend, key: &str, end: i64, now: i64, when: Precondition) -> Result<Version> {
    store
        .put(key, Bytes::from_static(b"state"), time(end), time(now), when)
        .await
}

async fn get(store: &Backend, key: &str, now: i64) -> Option<(String, Version)> {
    let found = store.get(key, time(now)).await.expect("get")?;
    Some((String::from_utf8_lossy(&found.value).into_owned(), found.version))
}
