//! No secret leaves the Secret.

use portolan_core::ImagePullSecret;

use super::fixture::{World, json};

const SECRETS: [&str; 4] = ["s3cr3t-value", "s3cr3t-file", "s3cr3t-password", "s3cr3t-token"];

fn world(mut world: World) -> World {
    world.token = SECRETS[3].into();
    let mut world = world.secret("API_KEY", SECRETS[0]).file("key.pem", SECRETS[1]);
    let password = world.key("registry", SECRETS[2]);
    world.spec.kubernetes.image_pull_secrets = vec![ImagePullSecret::Credentials {
        registry: "ghcr.io".into(),
        username: "robot".into(),
        password,
    }];
    world
}

#[track_caller]
fn check(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn only_secrets_hold_secrets() {
    for world in World::all().into_iter().map(world) {
        let rendered = world.render();
        check(&json(&rendered.deployment).to_string());
        check(&json(&rendered.service).to_string());
        check(&json(&rendered.policies).to_string());
        check(&format!("{rendered:?} {:?}", world.try_render()));
        check(&world.show());
        let metadata = rendered
            .pull_secrets
            .iter()
            .chain(&rendered.secret)
            .map(|secret| json(&secret.metadata).to_string());
        metadata.for_each(|text| check(&text));
    }
}

#[test]
fn a_placeholder_brings_no_secret_into_the_deployment() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: { annotations: { note: '${env.API_KEY}' } }
spec: { template: { spec: { containers: [{ name: a, image: b/c }] } } }
";
    let world = world(World::http()).yaml(text);
    let refusal = world.refusal();
    assert!(refusal.contains("whole value of an environment variable"), "{refusal}");
    check(&refusal);
}
