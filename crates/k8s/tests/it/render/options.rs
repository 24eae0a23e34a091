//! What a server may ask for, and what it gets where it does not.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use portolan_core::{CredentialKey, EnvFrom, ImagePullSecret, RunAs};
use portolan_k8s::name;
use serde_json::json;

use super::fixture::{NAME, World, find, named, pod};

#[test]
fn secrets_are_referred_to_and_plain_values_are_written() {
    let world = World::http()
        .plain("REGION", "eu")
        .secret("API_KEY", "s3cr3t")
        .secret("odd name", "x");
    let container = world.container();
    assert_eq!(named(&container["env"], "REGION")["value"], "eu");
    let reference = &named(&container["env"], "API_KEY")["valueFrom"]["secretKeyRef"];
    assert_eq!(
        reference,
        &json!({ "name": format!("{NAME}-secrets"), "key": "API_KEY" })
    );
    let key = named(&container["env"], "odd name")["valueFrom"]["secretKeyRef"]["key"].clone();
    let secret = world.render().secret.expect("a secret");
    let data = secret.data.expect("data");
    assert_eq!(data["API_KEY"].0, b"s3cr3t");
    assert_eq!(data[key.as_str().expect("a key")].0, b"x");
}

#[test]
fn files_are_mounted_read_only_under_their_names() {
    let world = World::http().file("key.pem", "-----BEGIN").file("token", "t");
    let pod = world.pod();
    let volume = &named(&pod["volumes"], "portolan-secrets")["secret"];
    assert_eq!(volume["secretName"], format!("{NAME}-secrets"));
    let paths: Vec<_> = volume["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|item| &item["path"])
        .collect();
    assert_eq!(paths, ["key.pem", "token"]);
    let mount = named(&pod["containers"][0]["volumeMounts"], "portolan-secrets");
    assert_eq!(
        (&mount["mountPath"], &mount["readOnly"]),
        (&json!("/secrets"), &json!(true))
    );
    let data = world.render().secret.expect("a secret").data.expect("data");
    let key = volume["items"][0]["key"].as_str().expect("a key");
    assert_eq!(data[key].0, b"-----BEGIN");
}

#[test]
fn variables_may_come_from_config_maps_and_from_secrets_that_are_allowed() {
    let mut world = World::http();
    world.spec.kubernetes.env_from = vec![
        EnvFrom::ConfigMap {
            name: "shared".into(),
            prefix: None,
        },
        EnvFrom::Secret {
            name: "shared-keys".into(),
            prefix: Some("K_".into()),
        },
    ];
    assert!(world.refusal().contains("shared-keys"), "{}", world.refusal());
    world.config.allowed_secrets.insert("shared-keys".into());
    let expected = json!([
        { "configMapRef": { "name": "shared" } },
        { "prefix": "K_", "secretRef": { "name": "shared-keys" } },
    ]);
    assert_eq!(world.container()["envFrom"], expected);
}

#[test]
fn a_variable_with_an_impossible_name_or_the_bridges_is_refused() {
    for name in ["", "A=B", "Ä", "a\nb", "PORTOLAN_BRIDGE_TOKEN"] {
        let _ = World::http().plain(name, "x").refusal();
    }
}

#[test]
fn resources_have_defaults_and_each_can_be_changed() {
    let mut world = World::http();
    let resources = world.container()["resources"].clone();
    let requests = json!({ "cpu": "50m", "memory": "128Mi", "ephemeral-storage": "256Mi" });
    assert_eq!(resources["requests"], requests);
    assert_eq!(
        resources["limits"],
        json!({ "memory": "512Mi", "ephemeral-storage": "1Gi" })
    );
    world.spec.kubernetes.requests = figures(&[("memory", "2Gi"), ("cpu", "")]);
    world.spec.kubernetes.limits = figures(&[("ephemeral-storage", "64Mi"), ("cpu", "2")]);
    let resources = world.container()["resources"].clone();
    assert_eq!(
        resources["requests"],
        json!({ "memory": "2Gi", "ephemeral-storage": "64Mi" })
    );
    let limits = json!({ "memory": "2Gi", "ephemeral-storage": "64Mi", "cpu": "2" });
    assert_eq!(resources["limits"], limits, "a default gives way to what is asked for");
}

#[test]
fn figures_that_cannot_be_are_refused() {
    let mut world = World::http();
    world.spec.kubernetes.requests = figures(&[("memory", "lots")]);
    assert!(world.refusal().contains("lots"));
    world.spec.kubernetes.requests = figures(&[("memory", "2Gi")]);
    world.spec.kubernetes.limits = figures(&[("memory", "1Gi")]);
    assert!(world.refusal().contains("above the limit"));
}

#[test]
fn a_process_for_each_conversation_is_refused() {
    let mut world = World::command();
    world.spec.sharing = portolan_core::Sharing::PerSession { max: 3 };
    assert!(world.refusal().contains("use shared"));
}

#[test]
fn nodes_are_those_of_the_host_unless_the_server_says_otherwise() {
    let mut world = World::http();
    assert!(world.pod()["nodeSelector"].is_null() && world.pod()["tolerations"].is_null());
    world.scheduling.node_selector = figures(&[("pool", "mcp")]);
    world.scheduling.tolerations = vec![Toleration {
        key: Some("mcp".into()),
        operator: Some("Exists".into()),
        ..Toleration::default()
    }];
    assert_eq!(world.pod()["nodeSelector"], json!({ "pool": "mcp" }));
    assert_eq!(
        world.pod()["tolerations"],
        json!([{ "key": "mcp", "operator": "Exists" }])
    );
    world.spec.kubernetes.node_selector = Some(BTreeMap::new());
    let mut own = portolan_core::Toleration::default();
    (own.key, own.value, own.effect) = (Some("gpu".into()), Some("a".into()), Some("NoSchedule".into()));
    world.spec.kubernetes.tolerations = Some(vec![own]);
    assert!(world.pod()["nodeSelector"].is_null());
    assert_eq!(
        world.pod()["tolerations"],
        json!([{ "key": "gpu", "value": "a", "effect": "NoSchedule" }])
    );
}

#[test]
fn a_service_account_must_be_allowed_and_its_token_asked_for() {
    let mut world = World::http();
    assert_eq!(world.pod()["automountServiceAccountToken"], false);
    world.spec.kubernetes.service_account = Some("operator".into());
    assert!(
        world.refusal().contains("\"operator\" is not allowed"),
        "{}",
        world.refusal()
    );
    world.config.service_accounts.insert("operator".into());
    assert_eq!(world.pod()["serviceAccountName"], "operator");
    assert_eq!(world.pod()["automountServiceAccountToken"], false);
    world.spec.kubernetes.service_account_token = true;
    assert_eq!(world.pod()["automountServiceAccountToken"], true);
}

#[test]
fn the_user_and_the_root_file_system_can_be_chosen() {
    let mut world = World::http();
    let context = world.pod()["securityContext"].clone();
    assert_eq!(
        (&context["runAsUser"], &context["runAsNonRoot"]),
        (&json!(65532), &json!(true))
    );
    assert_eq!(named(&world.container()["env"], "HOME")["value"], "/tmp");
    world.spec.kubernetes.run_as = Some(RunAs::Image);
    let context = world.pod()["securityContext"].clone();
    assert!(context["runAsUser"].is_null());
    assert_eq!(context["runAsNonRoot"], true);
    world.spec.kubernetes.run_as = Some(RunAs::User(0));
    assert_eq!(world.pod()["securityContext"]["runAsNonRoot"], false);
    world.spec.kubernetes.read_only_root = Some(false);
    assert_eq!(world.container()["securityContext"]["readOnlyRootFilesystem"], false);
    assert!(find(&world.container()["env"], "HOME").is_none());
    let world = World::http().plain("HOME", "/data");
    assert_eq!(named(&world.container()["env"], "HOME")["value"], "/data");
}

#[test]
fn more_folders_can_be_made_writable() {
    let mut world = World::http();
    world.spec.kubernetes.writable = vec!["/data/".into(), "/tmp".into(), "/data".into()];
    let container = world.container();
    let paths: Vec<_> = container["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|m| &m["mountPath"])
        .collect();
    assert_eq!(paths, ["/tmp", "/data"]);
    for bad in ["/", "data", "/a/../b", "/secrets", "/secrets/x", "/a:b"] {
        world.spec.kubernetes.writable = vec![bad.into()];
        assert!(world.refusal().starts_with("writable"), "{bad}");
    }
}

#[test]
fn a_registry_account_becomes_a_secret_with_the_teams_label() {
    let mut world = World::http();
    let password = world.key("registry", "p4ss");
    world.spec.kubernetes.image_pull_secrets = vec![
        ImagePullSecret::Existing {
            name: "corporate".into(),
        },
        account(&password),
        account(&password),
    ];
    let rendered = world.render();
    let [secret] = &rendered.pull_secrets[..] else {
        panic!("one secret: {:?}", rendered.pull_secrets.len())
    };
    let name = secret.metadata.name.as_deref().expect("a name");
    assert!(
        name.starts_with("mcp-pull-ghcr-io-robot-") && name.len() <= 253,
        "{name}"
    );
    assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/dockerconfigjson"));
    let labels = secret.metadata.labels.as_ref().expect("labels");
    assert_eq!(labels[name::TEAM], "web");
    assert_eq!(labels[name::KIND], "pull-secret");
    assert!(!labels.contains_key(name::INSTALL), "it may serve several");
    let config: serde_json::Value =
        serde_json::from_slice(&secret.data.as_ref().expect("data")[".dockerconfigjson"].0).expect("json");
    let entry = json!({ "username": "robot", "password": "p4ss", "auth": "cm9ib3Q6cDRzcw==" });
    assert_eq!(config, json!({ "auths": { "ghcr.io": entry } }));
    let pulls = json!([{ "name": "corporate" }, { "name": name }]);
    assert_eq!(pod(&rendered.deployment)["imagePullSecrets"], pulls);
}

#[test]
fn one_account_of_one_owner_is_one_secret_and_anothers_is_another() {
    let mut world = World::http();
    let password = world.key("registry", "p4ss");
    world.spec.kubernetes.image_pull_secrets = vec![account(&password)];
    let name = |world: &World| world.render().pull_secrets[0].metadata.name.clone().expect("a name");
    let first = name(&world);
    let mut second = world.clone();
    second.name = portolan_core::InstallName::parse("01935a5a-0000-7000-8000-000000000002").expect("an id");
    assert_eq!(name(&second), first);
    second.spec.owner = portolan_core::Owner::Org;
    assert_ne!(name(&second), first);
}

#[test]
fn a_config_that_no_server_could_run_with_is_refused() {
    use portolan_k8s::{Environment, KubeConfig, NetworkMode};
    let good = KubeConfig::in_namespace("mcp-servers");
    good.check().expect("the default is good");
    type Change = fn(&mut KubeConfig);
    let changes: [(&str, Change); 5] = [
        ("field_manager", |c| c.field_manager = "My Manager".into()),
        ("namespace", |c| c.default_environment.namespace.clear()),
        ("dns", |c| c.dns = vec!["10.0.0.1".into()]),
        ("limits", |c| drop(c.limits.insert("memory".into(), "much".into()))),
        ("extra_cidrs", |c| {
            let mut environment = Environment::in_namespace("other");
            environment.network = NetworkMode::Restricted {
                internet: false,
                extra_cidrs: vec!["x".into()],
            };
            c.environments.insert("other".into(), environment);
        }),
    ];
    for (named, change) in changes {
        let mut config = good.clone();
        change(&mut config);
        let refusal = config.check().expect_err(named).to_string();
        assert!(refusal.starts_with(named), "{refusal}");
    }
}

fn account(password: &CredentialKey) -> ImagePullSecret {
    ImagePullSecret::Credentials {
        registry: "ghcr.io".into(),
        username: "robot".into(),
        password: password.clone(),
    }
}

fn figures(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|&(name, text)| (name.into(), text.into())).collect()
}
