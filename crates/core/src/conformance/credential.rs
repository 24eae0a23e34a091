//! Cases of [`CredentialStore`] and [`CredentialReader`](crate::CredentialReader).

use std::{sync::Arc, time::Duration};

use super::{assert_conflict, assert_one_winner, race, sample::credential_key as key};
use crate::{CredentialKey, CredentialStore, Lease, Precondition, Result, Secret, Version};

/// The store under test.
pub type Backend = Arc<dyn CredentialStore>;

/// A lease that does not end within a test.
const LONG: Duration = Duration::from_secs(600);
/// A lease that ends within a test.
const SHORT: Duration = Duration::from_millis(300);

/// A key without a secret is `None`, not an error.
pub async fn unknown_key_is_none(store: Backend) {
    assert_eq!(store.read(&key("never")).await.expect("read"), None);
}

/// `read` after a `put` gives that secret with the version that `put` gave.
pub async fn put_then_read(store: Backend) {
    let version = put(&store, "a/b", "one", Precondition::None).await.expect("put");
    assert_eq!(read(&store, "a/b").await, Some(("one".into(), version)));
}

/// Secrets may be text of any kind and length.
pub async fn any_secret_is_kept(store: Backend) {
    let secrets = [
        "",
        " spaces \n",
        "ключ ☕ \u{10348}",
        "nul \0 inside",
        "'\"\\%_",
        &"long ".repeat(4_000),
    ];
    for secret in secrets {
        put(&store, "a", secret, Precondition::None).await.expect("put");
        let (found, _) = read(&store, "a").await.expect("is there");
        assert!(found == secret, "a secret of {} bytes changed", secret.len());
    }
}

/// Keys differ by case and by every character; a key is no directory of another.
pub async fn keys_are_apart(store: Backend) {
    let keys = ["a", "A", "a/b", "a.b", "a_b", "a-b", "a/b/c"];
    for text in keys {
        put(&store, text, text, Precondition::Absent).await.expect("put");
    }
    store.remove(&key("a/b")).await.expect("remove");
    for text in keys {
        let found = read(&store, text).await.map(|(secret, _)| secret);
        assert_eq!(found.as_deref(), (text != "a/b").then_some(text));
    }
}

/// Without a precondition, the last put wins.
pub async fn unconditional_put_replaces(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let version = put(&store, "a", "two", Precondition::None).await.expect("put again");
    assert_eq!(read(&store, "a").await, Some(("two".into(), version)));
}

/// `Precondition::Absent` fails where there is a secret.
pub async fn first_put_on_secret_conflicts(store: Backend) {
    put(&store, "a", "one", Precondition::Absent).await.expect("first");
    assert_conflict(&put(&store, "a", "two", Precondition::Absent).await.expect_err("second"));
}

/// An outdated version is a conflict.
pub async fn stale_put_conflicts(store: Backend) {
    let first = put(&store, "a", "one", Precondition::Absent).await.expect("first");
    put(&store, "a", "two", Precondition::Version(first))
        .await
        .expect("second");
    assert_conflict(
        &put(&store, "a", "three", Precondition::Version(first))
            .await
            .expect_err("stale"),
    );
}

/// The present version is no conflict.
pub async fn put_with_version_replaces(store: Backend) {
    let first = put(&store, "a", "one", Precondition::Absent).await.expect("first");
    let second = put(&store, "a", "two", Precondition::Version(first))
        .await
        .expect("second");
    assert_eq!(read(&store, "a").await, Some(("two".into(), second)));
}

/// A version of an absent secret is a conflict.
pub async fn put_with_version_on_nothing_conflicts(store: Backend) {
    let version = put(&store, "a", "one", Precondition::Absent).await.expect("first");
    store.remove(&key("a")).await.expect("remove");
    let gone = put(&store, "a", "two", Precondition::Version(version)).await;
    assert_conflict(&gone.expect_err("gone"));
    assert_eq!(read(&store, "a").await, None);
}

/// A conflict changes neither the secret nor its version.
pub async fn conflicting_put_writes_nothing(store: Backend) {
    let first = put(&store, "a", "one", Precondition::Absent).await.expect("first");
    let second = put(&store, "a", "two", Precondition::Version(first))
        .await
        .expect("second");
    put(&store, "a", "three", Precondition::Version(first))
        .await
        .expect_err("stale");
    put(&store, "a", "four", Precondition::Absent).await.expect_err("there");
    assert_eq!(read(&store, "a").await, Some(("two".into(), second)));
}

/// Each put gives another version, also of an equal secret.
pub async fn each_put_gives_another_version(store: Backend) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        let version = put(&store, "a", "same", Precondition::None).await.expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
    }
}

/// A task that slept through a removal must not overwrite the secret after it.
pub async fn no_version_comes_again_after_removal(store: Backend) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let version = put(&store, "a", "same", Precondition::Absent).await.expect("put");
        assert!(!seen.contains(&version), "{version:?} again after {seen:?}");
        seen.push(version);
        store.remove(&key("a")).await.expect("remove");
    }
}

/// A dropped put leaves the old secret or the new one, with its version.
pub async fn dropped_put_is_atomic(store: Backend) {
    for micros in [0, 20, 100, 500, 2_000, 10_000] {
        let old = put(&store, "a", "old", Precondition::None).await.expect("put");
        let dropped = put(&store, "a", "new", Precondition::Version(old));
        let _ = tokio::time::timeout(Duration::from_micros(micros), dropped).await;
        let (secret, version) = read(&store, "a").await.expect("is there");
        match secret.as_str() {
            "old" => assert_eq!(version, old, "nothing written"),
            "new" => assert_ne!(version, old, "everything written"),
            other => panic!("neither the old nor the new secret: {other}"),
        }
    }
}

/// Of many tasks that put the same key first, one succeeds, and its secret stays.
pub async fn one_racing_first_put_wins(store: Backend) {
    for round in 0..5 {
        let path = format!("race/{round}");
        let results = race((0..8).map(|task| {
            let (store, path) = (store.clone(), path.clone());
            async move { put(&store, &path, &task.to_string(), Precondition::Absent).await }
        }))
        .await;
        assert_one_winner(&results);
        let winner = results.iter().position(Result::is_ok).expect("one").to_string();
        assert_eq!(read(&store, &path).await.expect("is there").0, winner);
    }
}

/// Of many tasks that put with the same version, one succeeds.
pub async fn one_racing_put_wins(store: Backend) {
    let mut version = put(&store, "a", "start", Precondition::Absent).await.expect("first");
    for _ in 0..5 {
        let results = race((0..8).map(|task| {
            let store = store.clone();
            async move { put(&store, "a", &task.to_string(), Precondition::Version(version)).await }
        }))
        .await;
        assert_one_winner(&results);
        version = read(&store, "a").await.expect("is there").1;
    }
}

/// A removed secret cannot be read.
pub async fn removed_is_gone(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    store.remove(&key("a")).await.expect("remove");
    assert_eq!(read(&store, "a").await, None);
}

/// Removing an absent secret succeeds.
pub async fn removing_twice_succeeds(store: Backend) {
    store.remove(&key("never")).await.expect("never there");
    put(&store, "a", "one", Precondition::None).await.expect("put");
    store.remove(&key("a")).await.expect("remove");
    store.remove(&key("a")).await.expect("remove again");
}

/// No secret shows in the `Debug` of the store and of secrets, nor in errors and their sources.
pub async fn secrets_do_not_show(store: Backend) {
    const TEXT: &str = "s3cr3t-of-the-suite";
    put(&store, "a", TEXT, Precondition::Absent).await.expect("put");
    let conflict = put(&store, "a", TEXT, Precondition::Absent).await.expect_err("there");
    let read = store.read(&key("a")).await.expect("read");
    let mut shown = format!("{store:?} {read:?} {conflict:?} {conflict}");
    let mut cause = std::error::Error::source(&conflict);
    while let Some(error) = cause {
        shown.push_str(&format!("{error} {error:?}"));
        cause = error.source();
    }
    assert!(!shown.contains(TEXT), "the secret shows");
}

/// Keys are in the order of their bytes.
pub async fn keys_are_sorted(store: Backend) {
    let mut sorted = ["p/B", "p/a", "p/a-1", "p/a.1", "p/a/1", "p/a_1", "p/aa", "p/b", "p/1"];
    for path in sorted {
        put(&store, path, "", Precondition::None).await.expect("put");
    }
    sorted.sort_unstable();
    assert_eq!(keys(&store, "p/", None, 100).await, sorted);
}

/// A prefix is plain text: no pattern, no directory, and case matters.
pub async fn prefix_is_plain_text(store: Backend) {
    for path in ["in_1/x", "in_1/y/z", "in_1", "in_12/x", "inX1/x", "IN_1/x", "z/in_1/x"] {
        put(&store, path, "", Precondition::None).await.expect("put");
    }
    assert_eq!(keys(&store, "in_1/", None, 100).await, ["in_1/x", "in_1/y/z"]);
    assert_eq!(
        keys(&store, "in_1", None, 100).await,
        ["in_1", "in_1/x", "in_1/y/z", "in_12/x"]
    );
    assert_eq!(keys(&store, "", None, 100).await.len(), 7);
    for no_key_begins_so in ["%", "in%", "in_1/x/", "*", "\\"] {
        assert_eq!(
            keys(&store, no_key_begins_so, None, 100).await,
            [""; 0],
            "{no_key_begins_so:?}"
        );
    }
}

/// A page has at most `limit` keys and begins after `after`, whether or not there is a secret under it.
pub async fn keys_come_in_pages(store: Backend) {
    for path in ["p/1", "p/2", "p/3", "p/4"] {
        put(&store, path, "", Precondition::None).await.expect("put");
    }
    assert_eq!(keys(&store, "p/", None, 2).await, ["p/1", "p/2"]);
    assert_eq!(keys(&store, "p/", Some("p/2"), 2).await, ["p/3", "p/4"]);
    assert_eq!(keys(&store, "p/", Some("p/2-gone"), usize::MAX).await, ["p/3", "p/4"]);
    assert_eq!(keys(&store, "p/", Some("p/4"), 2).await, [""; 0]);
    assert_eq!(keys(&store, "p/", Some("a"), 1).await, ["p/1"]);
}

/// Removed keys are not listed.
pub async fn removed_keys_are_not_listed(store: Backend) {
    for path in ["p/1", "p/2"] {
        put(&store, path, "", Precondition::None).await.expect("put");
    }
    store.remove(&key("p/1")).await.expect("remove");
    assert_eq!(keys(&store, "p/", None, 100).await, ["p/2"]);
}

/// While a lease is held, others get `None`.
pub async fn lease_has_one_holder(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let lease = lease(&store, "a", LONG).await.expect("free");
    assert_eq!(lease.key, key("a"));
    assert_eq!(self::lease(&store, "a", LONG).await, None);
}

/// Leases on two keys are independent.
pub async fn leases_are_apart(store: Backend) {
    for path in ["a", "b"] {
        put(&store, path, "one", Precondition::None).await.expect("put");
        assert!(lease(&store, path, LONG).await.is_some());
    }
}

/// A released lease can be taken again.
pub async fn released_lease_is_free(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let first = lease(&store, "a", LONG).await.expect("free");
    store.release(first).await.expect("release");
    assert!(lease(&store, "a", LONG).await.is_some());
}

/// A holder that dies blocks the key for `ttl`, and no longer.
pub async fn lease_ends_after_ttl(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let ttl = Duration::from_secs(2);
    let taken = tokio::time::Instant::now();
    lease(&store, "a", ttl).await.expect("free");
    let second = lease_when_free(&store, "a").await;
    // A little less than the ttl is granted: the store's clock is not the test's.
    assert!(taken.elapsed() > ttl / 2, "ended after {:?}", taken.elapsed());
    assert!(taken.elapsed() < ttl * 5, "ended after {:?}", taken.elapsed());
    assert_eq!(second.key, key("a"));
}

/// A later lease has a greater fence, however the earlier one ended.
pub async fn fences_grow_over_release_and_expiry(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let released = lease(&store, "a", LONG).await.expect("free");
    let mut last = released.fence;
    store.release(released).await.expect("release");
    for _ in 0..2 {
        let lease = lease_when_free(&store, "a").await;
        assert!(lease.fence > last, "{} after {last}", lease.fence);
        last = lease.fence;
    }
}

/// Releasing an expired lease does not end the next one.
pub async fn late_release_ends_no_other_lease(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let ended = lease(&store, "a", SHORT).await.expect("free");
    tokio::time::sleep(SHORT * 2).await;
    let held = loop {
        if let Some(lease) = lease(&store, "a", LONG).await {
            break lease;
        }
        tokio::time::sleep(SHORT / 4).await;
    };
    store.release(ended).await.expect("release of an ended lease");
    assert_eq!(lease(&store, "a", LONG).await, None, "still held");
    store.release(held).await.expect("release");
    assert!(lease(&store, "a", LONG).await.is_some());
}

/// Releasing an ended lease succeeds.
pub async fn releasing_twice_succeeds(store: Backend) {
    put(&store, "a", "one", Precondition::None).await.expect("put");
    let lease = lease(&store, "a", LONG).await.expect("free");
    let copy = Lease {
        key: lease.key.clone(),
        fence: lease.fence,
    };
    store.release(lease).await.expect("release");
    store.release(copy).await.expect("release again");
}

/// Of many tasks that take a lease at once, one gets it.
pub async fn one_racing_lease_is_given(store: Backend) {
    for round in 0..5 {
        let path = format!("race/{round}");
        put(&store, &path, "one", Precondition::None).await.expect("put");
        let given = race((0..8).map(|_| {
            let (store, path) = (store.clone(), path.clone());
            async move { lease(&store, &path, LONG).await }
        }))
        .await;
        assert_eq!(given.iter().flatten().count(), 1, "{given:?}");
    }
}

/// A lease blocks neither reads nor writes.
pub async fn lease_locks_nothing(store: Backend) {
    let version = put(&store, "a", "one", Precondition::None).await.expect("put");
    let lease = lease(&store, "a", LONG).await.expect("free");
    assert_eq!(
        read(&store, "a").await,
        Some(("one".into(), version)),
        "a lease changes no version"
    );
    put(&store, "a", "two", Precondition::Version(version))
        .await
        .expect("put");
    store.release(lease).await.expect("release");
    assert_eq!(read(&store, "a").await.expect("is there").0, "two");
}

/// A put by the holder, or by anybody else, ends no lease.
pub async fn put_ends_no_lease(store: Backend) {
    let version = put(&store, "a", "one", Precondition::None).await.expect("put");
    let held = lease(&store, "a", LONG).await.expect("free");
    put(&store, "a", "two", Precondition::Version(version))
        .await
        .expect("put");
    put(&store, "a", "three", Precondition::None).await.expect("put");
    assert_eq!(lease(&store, "a", LONG).await, None, "still held");
    store.release(held).await.expect("release");
    assert!(lease(&store, "a", LONG).await.is_some(), "its holder can release it");
}

/// A lease after a removal of the secret has a greater fence.
pub async fn fences_grow_over_removal(store: Backend) {
    let mut last = 0;
    for _ in 0..3 {
        put(&store, "a", "one", Precondition::Absent).await.expect("put");
        let given = lease(&store, "a", LONG).await.expect("free");
        assert!(given.fence > last, "{} after {last}", given.fence);
        last = given.fence;
        store.release(given).await.expect("release");
        store.remove(&key("a")).await.expect("remove");
    }
}

async fn put(store: &Backend, path: &str, secret: &str, when: Precondition) -> Result<Version> {
    store.put(&key(path), Secret::new(secret), when).await
}

async fn read(store: &Backend, path: &str) -> Option<(String, Version)> {
    let found = store.read(&key(path)).await.expect("read")?;
    Some((found.value.reveal().into(), found.version))
}

async fn keys(store: &Backend, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
    let after = after.map(key);
    let found = store.keys(prefix, after.as_ref(), limit).await.expect("keys");
    found
        .iter()
        .map(|key: &CredentialKey| key.as_str().to_owned())
        .collect()
}

async fn lease(store: &Backend, path: &str, ttl: Duration) -> Option<Lease> {
    store.lease(&key(path), ttl).await.expect("lease")
}

async fn lease_when_free(store: &Backend, path: &str) -> Lease {
    loop {
        if let Some(lease) = lease(store, path, SHORT).await {
            return lease;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
