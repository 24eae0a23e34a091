//! The credential store over a fake API server: the suite, and faults that a real one does not give on demand.

use std::{sync::Arc, time::Duration};

use http::Method;
use portolan_core::{Clock, CredentialKey, CredentialReader, CredentialStore, Error, Precondition, Secret, Version};
use portolan_k8s::{KubeCredentials, KubeCredentialsConfig};
use serde_json::json;
use tokio::sync::Notify;

use crate::object_api::{Fault, ObjectApi};

portolan_core::conformance::credential_suite!(|| ObjectApi::new().store());

fn key(text: &str) -> CredentialKey {
    CredentialKey::parse(text).expect("a key")
}

async fn put(store: &KubeCredentials, text: &str, when: Precondition) -> portolan_core::Result<Version> {
    store.put(&key("a"), Secret::new(text), when).await
}

async fn text(store: &KubeCredentials) -> Option<(String, Version)> {
    let found = store.read(&key("a")).await.expect("read")?;
    Some((found.value.reveal().into(), found.version))
}

/// Faults after which nobody knows whether a write was applied; it was.
fn applied() -> [Fault; 3] {
    [
        Fault::ApplyThenRefuse(500),
        Fault::ApplyThenRefuse(504),
        Fault::ApplyThenBreak,
    ]
}

#[tokio::test]
async fn unanswered_write_counts_once() {
    for fault in applied() {
        let api = ObjectApi::new();
        let store = api.store();
        api.plan(Method::POST, "/secrets", 1, fault.clone());
        let first = put(&store, "one", Precondition::Absent).await.expect("put");
        assert_eq!(text(&store).await, Some(("one".into(), first)));
        api.plan(Method::PUT, "/secrets/", 1, fault);
        let second = put(&store, "two", Precondition::Version(first)).await.expect("put");
        assert_eq!(text(&store).await, Some(("two".into(), second)));
        assert_eq!(api.calls("P").len(), 2, "none is sent again");
    }
}

#[tokio::test]
async fn refused_write_is_sent_again() {
    for fault in [
        Fault::Refuse(429, "slow down".into()),
        Fault::Refuse(500, "internal error".into()),
        Fault::Refuse(503, "starting".into()),
        Fault::Break,
    ] {
        let api = ObjectApi::new();
        let store = api.store();
        api.plan(Method::POST, "/secrets", 2, fault);
        let version = put(&store, "one", Precondition::Absent).await.expect("put");
        assert_eq!(text(&store).await, Some(("one".into(), version)));
        assert_eq!(api.calls("POST").len(), 3);
    }
}

#[tokio::test]
async fn replaced_unanswered_write_is_a_success() {
    let api = ObjectApi::new();
    let (store, other) = (api.store(), api.store());
    let first = put(&store, "one", Precondition::Absent).await.expect("put");
    let replaced = Arc::new(Notify::new());
    api.plan(Method::PUT, "/secrets/", 1, Fault::ApplyThenBreakAt(replaced.clone()));
    let task = tokio::spawn(async move { put(&store, "two", Precondition::Version(first)).await });
    while text(&other).await.expect("is there").0 != "two" {
        tokio::task::yield_now().await;
    }
    let (_, second) = text(&other).await.expect("is there");
    put(&other, "three", Precondition::Version(second)).await.expect("put");
    replaced.notify_one();
    assert_eq!(task.await.expect("no panic").expect("it was applied"), second);
    assert_eq!(text(&other).await.expect("is there").0, "three");
}

#[tokio::test]
async fn removed_unanswered_write_is_unknown() {
    let api = ObjectApi::new();
    let (store, other) = (api.store(), api.store());
    let first = put(&store, "one", Precondition::Absent).await.expect("put");
    let removed = Arc::new(Notify::new());
    api.plan(Method::PUT, "/secrets/", 1, Fault::ApplyThenBreakAt(removed.clone()));
    let task = tokio::spawn(async move { put(&store, "two", Precondition::Version(first)).await });
    while text(&other).await.expect("is there").0 != "two" {
        tokio::task::yield_now().await;
    }
    other.remove(&key("a")).await.expect("remove");
    removed.notify_one();
    let error = task.await.expect("no panic").expect_err("nothing tells");
    assert!(
        matches!(error, Error::Unavailable { .. }) && error.is_retryable(),
        "{error:?}"
    );
    assert_eq!(text(&other).await, None, "it does not come back");
}

#[tokio::test]
async fn labels_of_others_are_no_conflict() {
    let api = ObjectApi::new();
    let store = api.store();
    let first = put(&store, "one", Precondition::Absent).await.expect("put");
    api.plan(Method::PUT, "/secrets/", 3, Fault::EditBefore);
    let second = put(&store, "two", Precondition::Version(first)).await.expect("put");
    assert_eq!(text(&store).await, Some(("two".into(), second)));
    assert_eq!(
        api.objects("secrets")[0]["metadata"]["labels"]["other"],
        "program",
        "it stays"
    );
}

#[tokio::test]
async fn conflict_storm_ends_at_the_deadline() {
    let api = ObjectApi::new();
    let store = api.store_with(|config| config.with_deadline(Duration::from_secs(1)));
    let first = put(&store, "one", Precondition::Absent).await.expect("put");
    api.plan(Method::PUT, "/secrets/", None, Fault::EditBefore);
    let error = put(&store, "two", Precondition::None).await.expect_err("never");
    assert!(error.is_retryable(), "{error:?}");
    assert!(
        error
            .report()
            .to_string()
            .contains("others changed the credential \"a\""),
        "{error:?}"
    );
    assert_eq!(text(&store).await, Some(("one".into(), first)));
}

#[tokio::test]
async fn silent_server_ends_at_the_deadline() {
    let api = ObjectApi::new();
    let store = api.store_with(|config| config.with_deadline(Duration::from_secs(1)));
    let first = put(&store, "one", Precondition::Absent).await.expect("put");
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        api.plan(method, "/secrets/", None, Fault::Hang);
    }
    let mut errors = vec![put(&store, "two", Precondition::None).await.expect_err("silence")];
    errors.push(store.read(&key("a")).await.expect_err("silence"));
    errors.push(store.remove(&key("a")).await.expect_err("silence"));
    for error in errors {
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
    api.heal();
    assert_eq!(text(&store).await, Some(("one".into(), first)), "nothing half");
}

#[tokio::test]
async fn missing_verb_is_named() {
    let api = ObjectApi::new();
    let store = api.store();
    put(&store, "one", Precondition::Absent).await.expect("put");
    let lease = store
        .lease(&key("a"), Duration::from_secs(60))
        .await
        .expect("lease")
        .expect("free");
    let message = |verb: &str, resource: &str| {
        format!(
            "{resource} is forbidden: User \"system:serviceaccount:host:portolan\" cannot {verb} resource \"{resource}\" in API \
             group \"\" in the namespace \"mcp-credentials\""
        )
    };
    let ttl = Duration::from_secs(60);
    let forbid = |method, path, verb, resource| {
        api.heal();
        api.plan(method, path, None, Fault::Refuse(403, message(verb, resource)));
    };
    let check = |error: Error, verb: &str, resource: &str| {
        let report = error.report().to_string();
        let expected = format!(
            "forbidden: the service account \"portolan\" may not \"{verb}\" \"{resource}\" in \"mcp-credentials\"; \
             deploy/credentials.yaml has the rule"
        );
        assert!(
            matches!(error, Error::Backend { .. }) && report.contains(&expected),
            "{report}"
        );
    };
    forbid(Method::GET, "/secrets/", "get", "secrets");
    check(store.read(&key("a")).await.expect_err("no"), "get", "secrets");
    forbid(Method::GET, "/secrets", "list", "secrets");
    check(store.keys("", None, 9).await.expect_err("no"), "list", "secrets");
    forbid(Method::POST, "/secrets", "create", "secrets");
    let created = store.put(&key("b"), Secret::new("x"), Precondition::None).await;
    check(created.expect_err("no"), "create", "secrets");
    forbid(Method::PUT, "/secrets/", "update", "secrets");
    check(
        put(&store, "two", Precondition::None).await.expect_err("no"),
        "update",
        "secrets",
    );
    forbid(Method::DELETE, "/secrets/", "delete", "secrets");
    check(store.remove(&key("a")).await.expect_err("no"), "delete", "secrets");
    forbid(Method::POST, "/leases", "create", "leases");
    check(store.lease(&key("b"), ttl).await.expect_err("no"), "create", "leases");
    forbid(Method::DELETE, "/leases/", "delete", "leases");
    check(store.release(lease).await.expect_err("no"), "delete", "leases");
}

#[tokio::test]
async fn too_long_secret_is_refused() {
    let api = ObjectApi::new();
    let store = api.store();
    let error = put(&store, &"x".repeat((1 << 20) - 1023), Precondition::None)
        .await
        .expect_err("too long");
    assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    assert!(
        error.to_string().contains("1047553 bytes; at most 1047552 fit"),
        "{error}"
    );
    assert!(api.calls("").is_empty());
    let longest = "x".repeat((1 << 20) - 1024);
    for _ in 0..10 {
        put(&store, &longest, Precondition::None).await.expect("it fits");
    }
    assert_eq!(text(&store).await.expect("is there").0, longest);
}

#[tokio::test]
async fn foreign_objects_are_left_alone() {
    let api = ObjectApi::new();
    let (store, ttl) = (api.store(), Duration::from_secs(60));
    put(&store, "one", Precondition::None).await.expect("put");
    store.lease(&key("a"), ttl).await.expect("lease").expect("free");
    for kind in ["secrets", "leases"] {
        api.edit(kind, |object| {
            object["metadata"]["labels"] = json!({ "app.kubernetes.io/managed-by": "Helm" })
        });
    }
    let before = (api.objects("secrets"), api.objects("leases"));
    assert_eq!(text(&store).await, None);
    assert!(store.keys("", None, 10).await.expect("keys").is_empty());
    store.remove(&key("a")).await.expect("nothing to remove");
    for when in [Precondition::None, Precondition::Absent] {
        let error = put(&store, "two", when).await.expect_err("taken");
        let report = error.report().to_string();
        assert!(
            report.contains("lacks the labels of this store, so it is left alone; remove it"),
            "{report}"
        );
    }
    store.lease(&key("a"), ttl).await.expect_err("taken");
    assert_eq!((api.objects("secrets"), api.objects("leases")), before);
}

#[tokio::test]
async fn stores_in_one_namespace_are_apart() {
    let api = ObjectApi::new();
    let (one, two) = (api.store(), api.store_with(|config| config.with_store("two")));
    put(&one, "one", Precondition::Absent).await.expect("put");
    put(&two, "two", Precondition::Absent).await.expect("put");
    two.remove(&key("a")).await.expect("remove");
    assert_eq!(text(&one).await.expect("is there").0, "one");
    assert!(two.keys("", None, 10).await.expect("keys").is_empty());
}

#[tokio::test]
async fn edit_by_hand_is_another_version() {
    let api = ObjectApi::new();
    let store = api.store();
    let first = put(&store, "one", Precondition::None).await.expect("put");
    api.edit("secrets", |object| object["data"]["value"] = json!("dHdv"));
    let (now, second) = text(&store).await.expect("is there");
    assert_eq!(now, "two");
    assert_ne!(first, second);
    put(&store, "three", Precondition::Version(first))
        .await
        .expect_err("stale");
    put(&store, "three", Precondition::Version(second)).await.expect("put");
}

#[tokio::test]
async fn damaged_secret_can_be_written_again() {
    let api = ObjectApi::new();
    let store = api.store();
    put(&store, "s3cr3t", Precondition::None).await.expect("put");
    for data in [json!({}), json!({ "value": "/w==" }), json!(null)] {
        api.edit("secrets", |object| object["data"] = data.clone());
        let report = store.read(&key("a")).await.expect_err("damaged").report().to_string();
        assert!(
            report.contains("its \"value\" is missing or not UTF-8; write the credential again"),
            "{report}"
        );
        put(&store, "again", Precondition::Absent)
            .await
            .expect_err("it is there");
        put(&store, "again", Precondition::None).await.expect("put");
        assert_eq!(text(&store).await.expect("is there").0, "again");
    }
}

#[tokio::test]
async fn long_list_is_read_in_pages() {
    let api = ObjectApi::new();
    let store = Arc::new(api.store());
    let path = |number: usize| format!("install/{}/{number:04}", number % 2);
    for number in 0..1_100 {
        store
            .put(&key(&path(number)), Secret::new("x"), Precondition::None)
            .await
            .expect("put");
    }
    let lists = || {
        api.calls("GET")
            .iter()
            .filter(|call| call.ends_with("/secrets"))
            .count()
    };
    let all = store.keys("install/", None, usize::MAX).await.expect("keys");
    assert_eq!((all.len(), lists()), (1_100, 3));
    assert!(all.is_sorted());
    let page = store
        .keys("install/1/", Some(&key("install/1/0001")), 2)
        .await
        .expect("keys");
    assert_eq!(page, [key("install/1/0003"), key("install/1/0005")]);
    assert_eq!(lists(), 5, "550 of one install");
    api.plan(Method::GET, "/secrets", 1, Fault::Refuse(500, "internal error".into()));
    assert_eq!(store.keys("", None, usize::MAX).await.expect("keys").len(), 1_100);
}

#[tokio::test]
async fn unanswered_lease_is_held_by_its_taker() {
    for fault in applied() {
        let api = ObjectApi::new();
        let (store, ttl) = (api.store(), Duration::from_secs(60));
        api.plan(Method::POST, "/leases", 1, fault.clone());
        let lease = store.lease(&key("a"), ttl).await.expect("lease").expect("free");
        assert_eq!(api.store().lease(&key("a"), ttl).await.expect("lease"), None);
        api.plan(Method::DELETE, "/leases/", 1, fault);
        store.release(lease).await.expect("release");
        assert!(api.objects("leases").is_empty(), "nothing is left");
    }
}

#[tokio::test]
async fn fence_grows_over_removed_objects() {
    let api = ObjectApi::new();
    let (store, ttl) = (api.store(), Duration::from_secs(60));
    let first = store.lease(&key("a"), ttl).await.expect("lease").expect("free");
    // Somebody cleans up with kubectl.
    api.edit("leases", |object| {
        object["metadata"]["labels"]["other"] = json!("program")
    });
    store.release(first).await.expect("it is not the same any more");
    assert_eq!(store.lease(&key("a"), ttl).await.expect("lease"), None);
    let api = ObjectApi::new();
    let store = api.store();
    let mut last = 0;
    for _ in 0..5 {
        let lease = store.lease(&key("a"), ttl).await.expect("lease").expect("free");
        assert!(lease.fence > last);
        last = lease.fence;
        store.release(lease).await.expect("release");
        assert!(api.objects("leases").is_empty(), "a released lease is deleted");
    }
}

/// A clock that is ahead of the machine's by this much.
#[derive(Debug)]
struct Ahead(Duration);

impl Clock for Ahead {
    fn now(&self) -> jiff::Timestamp {
        portolan_core::SystemClock.now() + self.0
    }
}

#[tokio::test]
async fn unseen_lease_ends_by_the_clock() {
    let api = ObjectApi::new();
    let config = || KubeCredentialsConfig::in_namespace("mcp-credentials").with_clock_skew(Duration::from_secs(30));
    let at = |seconds| {
        let clock = Arc::new(Ahead(Duration::from_secs(seconds)));
        KubeCredentials::with_clock(api.client(), config(), clock).expect("a configuration")
    };
    let ttl = Duration::from_secs(60);
    let first = at(0).lease(&key("a"), ttl).await.expect("lease").expect("free");
    assert_eq!(
        at(70).lease(&key("a"), ttl).await.expect("lease"),
        None,
        "clocks may differ"
    );
    let second = at(95)
        .lease(&key("a"), ttl)
        .await
        .expect("lease")
        .expect("it has ended");
    assert!(second.fence > first.fence);
}

#[tokio::test]
async fn seen_lease_ends_whatever_the_clocks() {
    let api = ObjectApi::new();
    let config = KubeCredentialsConfig::in_namespace("mcp-credentials");
    let ahead = KubeCredentials::with_clock(api.client(), config, Arc::new(Ahead(Duration::from_secs(86_400))));
    let ttl = Duration::from_millis(200);
    let ahead = ahead.expect("a configuration");
    let first = ahead.lease(&key("a"), ttl).await.expect("lease").expect("free");
    let store = api.store();
    let second = loop {
        if let Some(lease) = store.lease(&key("a"), ttl).await.expect("lease") {
            break lease;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(second.fence > first.fence);
}

/// Eight writers append to one log by compare-and-set, while two of five writes fail before or after they are applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn faults_lose_and_double_nothing() {
    for seed in [1, 42, 4711] {
        let api = ObjectApi::new();
        put(&api.store(), "", Precondition::Absent).await.expect("put");
        api.chaos(seed);
        let writers = (0..8).map(|writer| tokio::spawn(append(api.store(), writer)));
        let mut outcomes = Vec::new();
        for writer in writers {
            outcomes.extend(writer.await.expect("no panic"));
        }
        api.heal();
        let (log, _) = text(&api.store()).await.expect("is there");
        let count = |entry: &str| log.lines().filter(|line| *line == entry).count();
        let mut told = [0; 3];
        for (entry, outcome) in &outcomes {
            match outcome {
                Ok(_) => assert_eq!(count(entry), 1, "{entry} was told as written, seed {seed}"),
                Err(Error::Conflict { .. }) => assert_eq!(count(entry), 0, "{entry} was told as lost, seed {seed}"),
                Err(error) => assert!(error.is_retryable() && count(entry) <= 1, "{entry}: {error:?}"),
            }
            told[usize::from(outcome.is_err()) + usize::from(matches!(outcome, Err(Error::Unavailable { .. })))] += 1;
        }
        assert!(told[0] >= 40, "too few went through: {told:?}");
        let known = |line: &str| outcomes.iter().any(|(entry, _)| entry == line);
        assert!(log.lines().all(known), "nothing comes from nowhere");
    }
}

/// Appends until 10 appends succeeded; returns all that it tried.
async fn append(store: KubeCredentials, writer: usize) -> Vec<(String, portolan_core::Result<Version>)> {
    let mut outcomes = Vec::new();
    let mut successes = 0;
    for number in 0..400 {
        if successes == 10 {
            break;
        }
        let Ok(Some(now)) = store.read(&key("a")).await else {
            continue;
        };
        let entry = format!("{writer}-{number}");
        let log = format!("{}{entry}\n", now.value.reveal());
        let outcome = store
            .put(&key("a"), Secret::new(log), Precondition::Version(now.version))
            .await;
        successes += usize::from(outcome.is_ok());
        outcomes.push((entry, outcome));
    }
    outcomes
}
