//! Image pull secrets.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use portolan_core::{CredentialKey, CredentialStore, ImagePullSecret, Owner, Precondition, RunSpec, Runtime, TeamId};

use crate::{
    sandbox::{Sandbox, ready, with_sandbox},
    servers,
    wait::eventually,
};

async fn spec(sandbox: &Sandbox, team: &str, password: &str) -> RunSpec {
    let key = CredentialKey::parse(format!("registry/{team}")).expect("a key");
    sandbox
        .credentials
        .put(&key, password.into(), Precondition::None)
        .await
        .expect("put");
    let mut spec = servers::http();
    spec.owner = Owner::Team(TeamId::parse(team).expect("a team"));
    spec.kubernetes.image_pull_secrets.push(ImagePullSecret::Credentials {
        registry: "ghcr.io".into(),
        username: "robot".into(),
        password: key,
    });
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn pull_secret_lifecycle() {
    with_sandbox("pull", async |sandbox| {
        let runtime = sandbox.runtime();
        let web = spec(&sandbox, "web", "swordfish-1").await;
        let ops = spec(&sandbox, "ops", "swordfish-2").await;
        let (one, two) = (ready(&runtime, &web).await, ready(&runtime, &web).await);
        let three = ready(&runtime, &ops).await;

        let team = |name: &str| [TeamId::parse(name).expect("a team")];
        assert_eq!(runtime.pull_secrets(None).await.expect("a list").len(), 2);
        let of_web = runtime.pull_secrets(Some(&team("web"))).await.expect("a list");
        assert_eq!(of_web.len(), 1);
        assert_eq!(of_web[0].team.as_deref(), Some("web"));
        assert!(
            runtime
                .pull_secrets(Some(&team("sales")))
                .await
                .expect("a list")
                .is_empty()
        );
        let secret = sandbox.api::<Secret>().get(&of_web[0].name).await.expect("it is there");
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));

        runtime.remove(&one).await.expect("remove");
        let api = sandbox.api::<Secret>();
        assert!(
            api.get_opt(&of_web[0].name).await.expect("an answer").is_some(),
            "another one uses it"
        );
        runtime.remove(&two).await.expect("remove");
        assert!(
            api.get_opt(&of_web[0].name).await.expect("an answer").is_none(),
            "it went with its last user"
        );
        assert_eq!(runtime.pull_secrets(None).await.expect("a list").len(), 1);
        runtime.remove(&three).await.expect("remove");
        eventually("no pull secret is left", Duration::from_secs(5), async || {
            let left = runtime.pull_secrets(None).await.expect("a list");
            left.is_empty().then_some(())
        })
        .await;
    })
    .await;
}
