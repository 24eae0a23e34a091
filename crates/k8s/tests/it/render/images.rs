//! Allowed images and pull policies.

use portolan_core::{ImagePull, Source};
use portolan_k8s::{BridgeSource, render::RestartRequest};

use super::fixture::{Fixture, pod, server};

#[test]
fn allowed_images_are_enforced() {
    let mut fixture = Fixture::http();
    fixture.environment.allowed_images = vec!["ghcr.io/acme".into()];
    fixture.render();
    fixture.environment.allowed_images = vec!["ghcr.io/other".into()];
    let refusal = fixture.refusal();
    assert!(
        refusal.contains("ghcr.io/acme/time:1") && refusal.contains("ghcr.io/other"),
        "{refusal}"
    );
}

#[test]
fn platform_images_are_always_allowed() {
    let mut fixture = Fixture::command();
    fixture.environment.allowed_images = vec!["ghcr.io/other".into()];
    fixture.config.bridge = BridgeSource::Image("ghcr.io/acme/bridge:1".into());
    fixture.render();
}

#[test]
fn pull_policies() {
    let mut fixture = Fixture::http();
    assert_eq!(fixture.container()["imagePullPolicy"], "IfNotPresent");
    if let Source::Image { image, .. } = &mut fixture.spec.source {
        *image = "time:1".into();
    }
    assert_eq!(fixture.container()["imagePullPolicy"], "Never");
    fixture.spec.kubernetes.image_pull = Some(ImagePull::Always);
    assert_eq!(fixture.container()["imagePullPolicy"], "Always");
}

#[test]
fn restart_keeps_digest() {
    let mut fixture = Fixture::http();
    let before = fixture.render();
    for fresh_pull in [false, true] {
        let at = "2026-11-21T12:00:00Z".parse().expect("a time");
        let restart = RestartRequest::new(at).with_fresh_pull(fresh_pull);
        fixture.restart = Some(restart);
        let after = fixture.render();
        assert_eq!(after.digest, before.digest);
        assert_ne!(after.deployment, before.deployment);
        assert_eq!(RestartRequest::of(&after.deployment), Some(restart));
        let policy = server(&pod(&after.deployment))["imagePullPolicy"].clone();
        assert_eq!(policy, if fresh_pull { "Always" } else { "IfNotPresent" });
    }
    assert_eq!(RestartRequest::of(&before.deployment), None);
}
