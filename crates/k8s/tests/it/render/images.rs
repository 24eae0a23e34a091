//! Which images may run, and when they are pulled.

use portolan_core::{ImagePull, Source};
use portolan_k8s::{BridgeSource, render::RestartRequest};

use super::fixture::{World, pod, server};

#[test]
fn an_environment_may_allow_some_images_only() {
    let mut world = World::http();
    world.environment.allowed_images = vec!["ghcr.io/acme".into()];
    world.render();
    world.environment.allowed_images = vec!["ghcr.io/other".into()];
    let refusal = world.refusal();
    assert!(
        refusal.contains("ghcr.io/acme/time:1") && refusal.contains("ghcr.io/other"),
        "{refusal}"
    );
}

#[test]
fn images_of_the_platform_itself_are_always_allowed() {
    let mut world = World::command();
    world.environment.allowed_images = vec!["ghcr.io/other".into()];
    world.config.bridge = BridgeSource::Image("ghcr.io/acme/bridge:1".into());
    world.render();
}

#[test]
fn a_bare_name_is_never_pulled_and_the_server_may_say_otherwise() {
    let mut world = World::http();
    assert_eq!(world.container()["imagePullPolicy"], "IfNotPresent");
    if let Source::Image { image, .. } = &mut world.spec.source {
        *image = "time:1".into();
    }
    assert_eq!(world.container()["imagePullPolicy"], "Never");
    world.spec.kubernetes.image_pull = Some(ImagePull::Always);
    assert_eq!(world.container()["imagePullPolicy"], "Always");
}

#[test]
fn a_restart_changes_the_pods_and_not_the_digest_and_can_be_read_back() {
    let mut world = World::http();
    let before = world.render();
    for fresh_pull in [false, true] {
        let restarted = RestartRequest {
            at: "2026-11-21T12:00:00Z".parse().expect("a time"),
            fresh_pull,
        };
        world.restarted = Some(restarted);
        let after = world.render();
        assert_eq!(after.digest, before.digest);
        assert_ne!(after.deployment, before.deployment);
        assert_eq!(RestartRequest::of(&after.deployment), Some(restarted));
        let policy = server(&pod(&after.deployment))["imagePullPolicy"].clone();
        assert_eq!(policy, if fresh_pull { "Always" } else { "IfNotPresent" });
    }
    assert_eq!(RestartRequest::of(&before.deployment), None);
}
