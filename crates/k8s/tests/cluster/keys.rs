//! Keys in a Secret on a real cluster, as the account of `deploy/keys.yaml`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use k8s_openapi::api::{core::v1::Secret as KubeSecret, rbac::v1::Role};
use kube::api::PostParams;
use portolan_core::{DataKey, KeyId, KeyProvider, Result, WrappedKey, conformance::key_provider::Fixture};
use portolan_k8s::{KubeKeys, KubeKeysConfig};
use tokio::sync::RwLockReadGuard;

use crate::{
    sandbox::{self, KEYS_RBAC, Sandbox},
    wait::eventually,
};

portolan_core::conformance::key_provider_suite!(async || fixture().await);

async fn fixture() -> Fixture {
    let keys = Arc::new(SandboxKeys::open("keys").await);
    Fixture::new(keys.clone(), move || {
        let keys = keys.clone();
        async move {
            keys.keys.rotate().await.expect("rotates");
            keys as Arc<dyn KeyProvider>
        }
    })
}

/// Keys that delete their sandbox when dropped.
#[derive(Debug)]
struct SandboxKeys {
    keys: KubeKeys,
    sandbox: Arc<Sandbox>,
    _shared: RwLockReadGuard<'static, ()>,
}

impl SandboxKeys {
    async fn open(name: &str) -> Self {
        let shared = sandbox::shared().await;
        let sandbox = Sandbox::open_for(name, KEYS_RBAC).await;
        let keys = eventually("the API server knows the Role", Duration::from_secs(20), async || {
            open(&sandbox).await.ok()
        })
        .await;
        Self {
            keys,
            sandbox: Arc::new(sandbox),
            _shared: shared,
        }
    }
}

async fn open(sandbox: &Sandbox) -> Result<KubeKeys> {
    KubeKeys::open(
        sandbox.client.0.clone(),
        KubeKeysConfig::in_namespace(&sandbox.namespace),
    )
    .await
}

impl Drop for SandboxKeys {
    fn drop(&mut self) {
        self.sandbox.close_from_drop();
    }
}

#[async_trait]
impl KeyProvider for SandboxKeys {
    async fn current(&self) -> Result<KeyId> {
        self.keys.current().await
    }

    async fn wrap(&self, data_key: &DataKey, context: &str) -> Result<WrappedKey> {
        self.keys.wrap(data_key, context).await
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &str) -> Result<DataKey> {
        self.keys.unwrap(wrapped, context).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn version_added_by_hand_unwraps_at_once() {
    let here = SandboxKeys::open("byhand").await;
    let api = here.sandbox.api::<KubeSecret>();
    let mut object = api.get("portolan-keys").await.expect("the Secret");
    let digits = "0a".repeat(32);
    object.string_data = Some([("2".to_owned(), digits)].into());
    api.replace("portolan-keys", &PostParams::default(), &object)
        .await
        .expect("written");
    let replica = open(&here.sandbox).await.expect("keys");
    let wrapped = replica.wrap(&DataKey::new([7; 32]), "a").await.expect("wraps");
    assert!(wrapped.key.as_str().starts_with("kube:portolan-keys:2:"), "{wrapped:?}");
    let found = here.keys.unwrap(&wrapped, "a").await.expect("it looks");
    assert_eq!(found, DataKey::new([7; 32]));
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_verb_is_named() {
    let here = SandboxKeys::open("keyverb").await;
    let roles = here.sandbox.api::<Role>();
    let mut role = roles.get("portolan-keys").await.expect("the Role");
    for rule in role.rules.iter_mut().flatten() {
        rule.verbs.retain(|verb| verb != "update");
    }
    roles
        .replace("portolan-keys", &PostParams::default(), &role)
        .await
        .expect("written");
    let expected = format!(
        "forbidden: the service account \"portolan\" may not \"update\" \"secrets\" in \"{}\"; deploy/keys.yaml has the rule",
        here.sandbox.namespace
    );
    eventually(&expected, Duration::from_secs(20), async || {
        let error = here.keys.rotate().await.err()?;
        error.report().to_string().contains(&expected).then_some(())
    })
    .await;
    here.keys
        .wrap(&DataKey::new([7; 32]), "a")
        .await
        .expect("the known keys serve");
}
