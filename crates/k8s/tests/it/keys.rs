//! Keys in a Secret, over a fake API server.

use std::{sync::Arc, time::Duration};

use http::Method;
use portolan_core::{DataKey, Error, KeyId, KeyProvider, WrappedKey, conformance::key_provider::Fixture};
use portolan_k8s::{KubeKeys, KubeKeysConfig};
use serde_json::json;

use crate::{
    object_api::{Fault, ObjectApi},
    wait::eventually,
};

portolan_core::conformance::key_provider_suite!(async || fixture().await);

async fn fixture() -> Fixture {
    let keys = Arc::new(open(&ObjectApi::new()).await.expect("keys"));
    Fixture::new(keys.clone(), move || {
        let keys = keys.clone();
        async move {
            keys.rotate().await.expect("rotates");
            keys as Arc<dyn KeyProvider>
        }
    })
}

fn config() -> KubeKeysConfig {
    KubeKeysConfig::in_namespace("mcp-credentials").with_deadline(Duration::from_secs(4))
}

async fn open(api: &Arc<ObjectApi>) -> portolan_core::Result<KubeKeys> {
    KubeKeys::open(api.client(), config()).await
}

async fn wrap(keys: &KubeKeys) -> WrappedKey {
    keys.wrap(&DataKey::new([7; 32]), "a").await.expect("wraps")
}

#[tokio::test]
async fn opening_again_finds_the_keys() {
    let api = ObjectApi::new();
    let wrapped = wrap(&open(&api).await.expect("keys")).await;
    let again = open(&api).await.expect("keys");
    assert_eq!(
        again.unwrap(&wrapped, "a").await.expect("unwraps"),
        DataKey::new([7; 32])
    );
    assert_eq!(api.calls("POST").len(), 1);
    let elsewhere = open(&ObjectApi::new()).await.expect("keys");
    let error = elsewhere.unwrap(&wrapped, "a").await.expect_err("another key");
    assert!(
        error
            .to_string()
            .contains("which the Secret \"portolan-keys\" in \"mcp-credentials\" does not have"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_opens_get_one_key() {
    for fault in [
        None,
        Some(Fault::ApplyThenBreak),
        Some(Fault::ApplyThenRefuse(500)),
        Some(Fault::Break),
    ] {
        let api = ObjectApi::new();
        if let Some(fault) = fault {
            api.plan(Method::POST, "/secrets", 2, fault);
        }
        let opening = (0..8).map(|_| {
            let api = api.clone();
            tokio::spawn(async move { open(&api).await.expect("keys").current().await.expect("a key") })
        });
        let mut ids = Vec::new();
        for open in opening.collect::<Vec<_>>() {
            ids.push(open.await.expect("no panic"));
        }
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_is_known_to_other_replicas() {
    let api = ObjectApi::new();
    let (one, two) = (open(&api).await.expect("keys"), open(&api).await.expect("keys"));
    let id = one.rotate().await.expect("rotates");
    let wrapped = wrap(&one).await;
    assert_eq!(wrapped.key, id);
    assert_ne!(two.current().await.expect("a key"), id, "it has not looked");
    assert_eq!(
        two.unwrap(&wrapped, "a").await.expect("it looks now"),
        DataKey::new([7; 32])
    );
    assert_eq!(two.current().await.expect("a key"), id);
}

#[tokio::test]
async fn stale_keys_are_read_again() {
    let api = ObjectApi::new();
    let config = config().with_reread_interval(Duration::from_millis(50));
    let one = open(&api).await.expect("keys");
    let two = KubeKeys::open(api.client(), config).await.expect("keys");
    let id = one.rotate().await.expect("rotates");
    eventually("the other one wraps with it", Duration::from_secs(10), async || {
        (two.current().await.expect("a key") == id).then_some(())
    })
    .await;
    api.plan(Method::GET, "/secrets/", None, Fault::Break);
    let wrapped = wrap(&two).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(
        two.unwrap(&wrapped, "a").await.expect("from memory"),
        DataKey::new([7; 32])
    );
    let unknown = WrappedKey {
        key: KeyId::parse("kube:portolan-keys:9:0000000000000000").expect("an id"),
        bytes: vec![1; 61],
    };
    let error = two.unwrap(&unknown, "a").await.expect_err("nobody knows");
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn ids_of_others_cost_no_call() {
    let api = ObjectApi::new();
    let keys = open(&api).await.expect("keys");
    let calls = api.calls("").len();
    for id in ["vault:1", "kube:other:1:0000000000000000"] {
        let key = KeyId::parse(id).expect("an id");
        let bytes = vec![1; 61];
        let error = keys
            .unwrap(&WrappedKey { key, bytes }, "a")
            .await
            .expect_err("not ours");
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert_eq!(api.calls("").len(), calls);
}

#[tokio::test]
async fn unanswered_rotation_adds_one_version() {
    for fault in [
        Fault::ApplyThenBreak,
        Fault::ApplyThenRefuse(504),
        Fault::Break,
        Fault::EditBefore,
    ] {
        let api = ObjectApi::new();
        let keys = open(&api).await.expect("keys");
        api.plan(Method::PUT, "/secrets/", 1, fault);
        let id = keys.rotate().await.expect("rotates");
        assert!(id.as_str().starts_with("kube:portolan-keys:2:"), "{id}");
        assert_eq!(api.objects("secrets")[0]["data"].as_object().expect("entries").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_rotations_lose_no_version() {
    let api = ObjectApi::new();
    let first = wrap(&open(&api).await.expect("keys")).await;
    let rotations = (0..8).map(|_| {
        let api = api.clone();
        tokio::spawn(async move {
            let keys = open(&api).await.expect("keys");
            keys.rotate().await.expect("rotates");
            wrap(&keys).await
        })
    });
    let mut wrapped = vec![first];
    for rotation in rotations.collect::<Vec<_>>() {
        wrapped.push(rotation.await.expect("no panic"));
    }
    let keys = open(&api).await.expect("keys");
    for wrapped in wrapped {
        assert_eq!(
            keys.unwrap(&wrapped, "a").await.expect("unwraps"),
            DataKey::new([7; 32])
        );
    }
}

#[tokio::test]
async fn missing_secret_is_created_only_where_allowed() {
    let api = ObjectApi::new();
    let error = KubeKeys::open(api.client(), config().with_create(false))
        .await
        .expect_err("none");
    assert!(
        error.report().to_string().contains("put it back from its backup"),
        "{error:?}"
    );
    assert!(api.objects("secrets").is_empty());
}

#[tokio::test]
async fn wrong_entry_is_named_and_not_shown() {
    let api = ObjectApi::new();
    let keys = open(&api).await.expect("keys");
    // "s3cr3t"
    api.edit("secrets", |object| object["data"]["2"] = json!("czNjcjN0"));
    let error = open(&api).await.expect_err("not a key");
    let report = error.report().to_string();
    assert!(
        report.contains("its entry \"2\" is not a key") && !report.contains("s3cr3t"),
        "{report}"
    );
    wrap(&keys).await;
}

#[tokio::test]
async fn versions_are_bounded() {
    let api = ObjectApi::new();
    let keys = open(&api).await.expect("keys");
    for _ in 1..64 {
        keys.rotate().await.expect("rotates");
    }
    let error = keys.rotate().await.expect_err("too many");
    assert!(matches!(error, Error::Exhausted { limit: 64, .. }), "{error:?}");
    wrap(&keys).await;
}
