//! Secrets appear in Secret objects only.

use portolan_core::ImagePullSecret;

use super::fixture::{Fixture, json};

const SECRETS: [&str; 4] = ["s3cr3t-value", "s3cr3t-file", "s3cr3t-password", "s3cr3t-token"];

fn fixture(mut fixture: Fixture) -> Fixture {
    fixture.token = SECRETS[3].into();
    let mut fixture = fixture.secret("API_KEY", SECRETS[0]).file("key.pem", SECRETS[1]);
    let password = fixture.key("registry", SECRETS[2]);
    fixture.spec.kubernetes.image_pull_secrets = vec![ImagePullSecret::Credentials {
        registry: "ghcr.io".into(),
        username: "robot".into(),
        password,
    }];
    fixture
}

#[track_caller]
fn check(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn only_secrets_contain_secrets() {
    for fixture in Fixture::all().into_iter().map(fixture) {
        let rendered = fixture.render();
        check(&json(&rendered.deployment).to_string());
        check(&json(&rendered.service).to_string());
        check(&json(&rendered.policies).to_string());
        check(&format!("{rendered:?} {:?}", fixture.try_render()));
        check(&fixture.show());
        let metadata = rendered
            .pull_secrets
            .iter()
            .chain(&rendered.secret)
            .map(|secret| json(&secret.metadata).to_string());
        metadata.for_each(|text| check(&text));
    }
}

#[test]
fn placeholder_leaks_no_secret() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: { annotations: { note: '${env.API_KEY}' } }
spec: { template: { spec: { containers: [{ name: a, image: b/c }] } } }
";
    let fixture = fixture(Fixture::http()).yaml(text);
    let refusal = fixture.refusal();
    assert!(refusal.contains("whole value of an environment variable"), "{refusal}");
    check(&refusal);
}
