//! Cases of [`OneTimeStore`]. Time is passed in, so none of them waits.

use std::sync::Arc;

use super::{assert_conflict, assert_one_winner, race, sample::time};
use crate::{Error, OneTimeStore, Result, Secret};

/// The store under test.
pub type Backend = Arc<dyn OneTimeStore>;

/// An id that was never put is `None`.
pub async fn unknown_id_is_none(store: Backend) {
    assert_eq!(take(&store, "state", "never", 0).await, None);
}

/// `take` gives the payload, and then nothing.
pub async fn record_is_taken_once(store: Backend) {
    put(&store, "state", "a", "one", 60, 0).await.expect("put");
    assert_eq!(take(&store, "state", "a", 0).await.as_deref(), Some("one"));
    assert_eq!(take(&store, "state", "a", 0).await, None);
}

/// A payload may be text of any kind, none or 64 KiB.
pub async fn any_payload_is_kept(store: Backend) {
    let long = "x".repeat(64 << 10);
    for payload in ["", "{\"verifier\":\"☕\"}", "nul \0 inside", &long] {
        put(&store, "state", "a", payload, 60, 0).await.expect("put");
        let taken = take(&store, "state", "a", 0).await.expect("is there");
        assert!(taken == payload, "a payload of {} bytes changed", payload.len());
    }
}

/// Ids may be text of any kind and differ by every character.
pub async fn ids_are_apart(store: Backend) {
    let long = "i".repeat(4_096);
    let ids = [
        "a",
        "A",
        "a ",
        "a/b",
        "a%",
        "a_",
        "ключ ☕",
        "'\"\\",
        "\0",
        &long,
        &long[1..],
    ];
    for id in ids {
        put(&store, "state", id, id, 60, 0).await.expect("put");
    }
    for id in ids {
        assert!(take(&store, "state", id, 0).await.as_deref() == Some(id), "{id:?}");
    }
}

/// The same id under another purpose is another record.
pub async fn purposes_are_apart(store: Backend) {
    put(&store, "state", "a", "one", 60, 0).await.expect("put");
    put(&store, "code", "a", "two", 60, 0).await.expect("put");
    put(&store, "cod", "ea", "three", 60, 0).await.expect("put");
    assert_eq!(take(&store, "code", "a", 0).await.as_deref(), Some("two"));
    assert_eq!(take(&store, "state", "a", 0).await.as_deref(), Some("one"));
    assert_eq!(take(&store, "cod", "ea", 0).await.as_deref(), Some("three"));
}

/// A second `put` is a conflict and leaves payload and expiry of the first.
pub async fn second_put_conflicts(store: Backend) {
    put(&store, "jti", "a", "one", 60, 0).await.expect("put");
    assert_conflict(&put(&store, "jti", "a", "two", 600, 30).await.expect_err("replayed"));
    assert_conflict(&put(&store, "jti", "a", "one", 60, 0).await.expect_err("replayed"));
    assert_eq!(
        take(&store, "jti", "a", 60).await,
        None,
        "it expires as it was put first"
    );
}

/// A record can be taken until it expires, and not from then on.
pub async fn expired_is_none(store: Backend) {
    put(&store, "state", "a", "one", 60, 0).await.expect("put");
    put(&store, "state", "b", "one", 60, 0).await.expect("put");
    assert!(take(&store, "state", "a", 59).await.is_some());
    assert!(take(&store, "state", "b", 60).await.is_none());
}

/// An expired record is no conflict, and its payload is gone.
pub async fn expired_is_replaced(store: Backend) {
    put(&store, "state", "a", "one", 60, 0).await.expect("put");
    put(&store, "state", "a", "two", 120, 60)
        .await
        .expect("expired is absent");
    assert_eq!(take(&store, "state", "a", 119).await.as_deref(), Some("two"));
}

/// A record that was taken can be put again.
pub async fn taken_can_be_put_again(store: Backend) {
    for round in ["one", "two"] {
        put(&store, "state", "a", round, 60, 0).await.expect("put");
        assert_eq!(take(&store, "state", "a", 0).await.as_deref(), Some(round));
    }
}

/// Of many tasks that take a record at once, one gets it.
pub async fn one_racing_take_wins(store: Backend) {
    for round in 0..10 {
        let id = format!("race-{round}");
        put(&store, "code", &id, "payload", 60, 0).await.expect("put");
        let taken = race((0..16).map(|_| {
            let (store, id) = (store.clone(), id.clone());
            async move { take(&store, "code", &id, 0).await }
        }))
        .await;
        assert_eq!(taken.iter().flatten().count(), 1, "{taken:?}");
    }
}

/// Of many tasks that put an id at once, one succeeds, also where an expired record is there.
pub async fn one_racing_put_wins(store: Backend) {
    for round in 0..10 {
        let id = format!("race-{round}");
        if round % 2 == 1 {
            put(&store, "jti", &id, "expired", 10, 0).await.expect("put");
        }
        let results = race((0..16).map(|task| {
            let (store, id) = (store.clone(), id.clone());
            async move { put(&store, "jti", &id, &task.to_string(), 60, 20).await }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one").to_string();
        assert_eq!(take(&store, "jti", &id, 20).await, Some(winner));
    }
}

/// `sweep` removes the expired records and returns their number.
pub async fn sweep_removes_only_expired(store: Backend) {
    for (id, expires) in [("a", 10), ("b", 20), ("c", 100), ("d", 5)] {
        put(&store, "state", id, id, expires, 0).await.expect("put");
    }
    assert_eq!(store.sweep(time(20)).await.expect("sweep"), 3);
    assert_eq!(store.sweep(time(20)).await.expect("sweep again"), 0);
    assert_eq!(take(&store, "state", "c", 20).await.as_deref(), Some("c"));
    // Taken for a time at which it was good: it is gone, not merely hidden.
    assert_eq!(take(&store, "state", "b", 0).await, None);
}

/// What is out of bounds is invalid, and the error shows neither id nor payload.
pub async fn out_of_bounds_is_invalid(store: Backend) {
    let (id, payload) = ("s3cr3t-id".repeat(500), "s3cr3t-payload".repeat(5_000));
    let refused = [
        put(&store, "", "a", "", 60, 0).await,
        put(&store, &"p".repeat(65), "a", "", 60, 0).await,
        put(&store, "state", "", "", 60, 0).await,
        put(&store, "state", &id, "", 60, 0).await,
        put(&store, "state", "a", &payload, 60, 0).await,
        put(&store, "state", "a", "", 60, 60).await,
    ];
    for result in refused {
        let error = result.expect_err("refused");
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    }
}

/// No id and no payload shows in `Debug` and errors.
pub async fn nothing_shows(store: Backend) {
    put(&store, "state", "s3cr3t-id", "s3cr3t-payload", 60, 0)
        .await
        .expect("put");
    let conflict = put(&store, "state", "s3cr3t-id", "s3cr3t-payload", 60, 0)
        .await
        .expect_err("there");
    let mut shown = format!("{store:?} {conflict:?} {conflict}");
    let mut cause = std::error::Error::source(&conflict);
    while let Some(error) = cause {
        shown.push_str(&format!("{error} {error:?}"));
        cause = error.source();
    }
    assert!(!shown.contains("s3cr3t"), "{shown}");
}

async fn put(store: &Backend, purpose: &str, id: &str, payload: &str, expires: i64, now: i64) -> Result<()> {
    store
        .put(purpose, id, Secret::new(payload), time(expires), time(now))
        .await
}

async fn take(store: &Backend, purpose: &str, id: &str, now: i64) -> Option<String> {
    let taken = store.take(purpose, id, time(now)).await.expect("take");
    taken.map(|payload| payload.reveal().to_owned())
}
