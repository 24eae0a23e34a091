//! Kubernetes options of a server, and their defaults.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Toleration;
use portolan_core::{CredentialKey, EnvFrom, ImagePullSecret, RunAs};
use portolan_k8s::name;
use serde_json::json;

use super::fixture::{Fixture, NAME, find, named, pod};

#[test]
fn env_values_and_secret_refs() {
    let fixture = Fixture::http()
        .plain("REGION", "eu")
        .secret("API_KEY", "s3cr3t")
        .secret("odd name", "x");
    let container = fixture.container();
    assert_eq!(named(&container["env"], "REGION")["value"], "eu");
    let reference = &named(&container["env"], "API_KEY")["valueFrom"]["secretKeyRef"];
    assert_eq!(
        reference,
        &json!({ "name": format!("{NAME}-secrets"), "key": "API_KEY" })
    );
    let key = named(&container["env"], "odd name")["valueFrom"]["secretKeyRef"]["key"].clone();
    let secret = fixture.render().secret.expect("a secret");
    let data = secret.data.expect("data");
    assert_eq!(data["API_KEY"].0, b"s3cr3t");
    assert_eq!(data[key.as_str().expect("a key")].0, b"x");
}

#[test]
fn files_are_mounted_read_only() {
    let fixture = Fixture::http().file("key.pem", "-----BEGIN").file("token", "t");
    let pod = fixture.pod();
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
    let data = fixture.render().secret.expect("a secret").data.expect("data");
    let key = volume["items"][0]["key"].as_str().expect("a key");
    assert_eq!(data[key].0, b"-----BEGIN");
}

#[test]
fn env_from_allowed_sources() {
    let mut fixture = Fixture::http();
    fixture.spec.kubernetes.env_from = vec![
        EnvFrom::ConfigMap {
            name: "shared".into(),
            prefix: None,
        },
        EnvFrom::Secret {
            name: "shared-keys".into(),
            prefix: Some("K_".into()),
        },
    ];
    assert!(fixture.refusal().contains("shared-keys"), "{}", fixture.refusal());
    fixture.config.allowed_secrets.insert("shared-keys".into());
    let expected = json!([
        { "configMapRef": { "name": "shared" } },
        { "prefix": "K_", "secretRef": { "name": "shared-keys" } },
    ]);
    assert_eq!(fixture.container()["envFrom"], expected);
}

#[test]
fn invalid_variable_names_are_refused() {
    for name in ["", "A=B", "Ä", "a\nb", "PORTOLAN_BRIDGE_TOKEN"] {
        let _ = Fixture::http().plain(name, "x").refusal();
    }
}

#[test]
fn resource_defaults_and_overrides() {
    let mut fixture = Fixture::http();
    let resources = fixture.container()["resources"].clone();
    let requests = json!({ "cpu": "50m", "memory": "128Mi", "ephemeral-storage": "256Mi" });
    assert_eq!(resources["requests"], requests);
    assert_eq!(
        resources["limits"],
        json!({ "memory": "512Mi", "ephemeral-storage": "1Gi" })
    );
    fixture.spec.kubernetes.requests = figures(&[("memory", "2Gi"), ("cpu", "")]);
    fixture.spec.kubernetes.limits = figures(&[("ephemeral-storage", "64Mi"), ("cpu", "2")]);
    let resources = fixture.container()["resources"].clone();
    assert_eq!(
        resources["requests"],
        json!({ "memory": "2Gi", "ephemeral-storage": "64Mi" })
    );
    let limits = json!({ "memory": "2Gi", "ephemeral-storage": "64Mi", "cpu": "2" });
    assert_eq!(resources["limits"], limits, "a default gives way to what is asked for");
}

#[test]
fn invalid_quantities_are_refused() {
    let mut fixture = Fixture::http();
    fixture.spec.kubernetes.requests = figures(&[("memory", "lots")]);
    assert!(fixture.refusal().contains("lots"));
    fixture.spec.kubernetes.requests = figures(&[("memory", "2Gi")]);
    fixture.spec.kubernetes.limits = figures(&[("memory", "1Gi")]);
    assert!(fixture.refusal().contains("above the limit"));
}

#[test]
fn per_session_is_refused() {
    let mut fixture = Fixture::command();
    fixture.spec.sharing = portolan_core::Sharing::PerSession { max: 3 };
    assert!(fixture.refusal().contains("use shared"));
}

#[test]
fn scheduling_defaults_and_overrides() {
    let mut fixture = Fixture::http();
    assert!(fixture.pod()["nodeSelector"].is_null() && fixture.pod()["tolerations"].is_null());
    fixture.scheduling.node_selector = figures(&[("pool", "mcp")]);
    fixture.scheduling.tolerations = vec![Toleration {
        key: Some("mcp".into()),
        operator: Some("Exists".into()),
        ..Toleration::default()
    }];
    assert_eq!(fixture.pod()["nodeSelector"], json!({ "pool": "mcp" }));
    assert_eq!(
        fixture.pod()["tolerations"],
        json!([{ "key": "mcp", "operator": "Exists" }])
    );
    fixture.spec.kubernetes.node_selector = Some(BTreeMap::new());
    let mut own = portolan_core::Toleration::default();
    (own.key, own.value, own.effect) = (Some("gpu".into()), Some("a".into()), Some("NoSchedule".into()));
    fixture.spec.kubernetes.tolerations = Some(vec![own]);
    assert!(fixture.pod()["nodeSelector"].is_null());
    assert_eq!(
        fixture.pod()["tolerations"],
        json!([{ "key": "gpu", "value": "a", "effect": "NoSchedule" }])
    );
}

#[test]
fn service_account_must_be_allowed() {
    let mut fixture = Fixture::http();
    assert_eq!(fixture.pod()["automountServiceAccountToken"], false);
    fixture.spec.kubernetes.service_account = Some("operator".into());
    assert!(
        fixture.refusal().contains("\"operator\" is not allowed"),
        "{}",
        fixture.refusal()
    );
    fixture.config.service_accounts.insert("operator".into());
    assert_eq!(fixture.pod()["serviceAccountName"], "operator");
    assert_eq!(fixture.pod()["automountServiceAccountToken"], false);
    fixture.spec.kubernetes.service_account_token = true;
    assert_eq!(fixture.pod()["automountServiceAccountToken"], true);
}

#[test]
fn user_and_read_only_root() {
    let mut fixture = Fixture::http();
    let context = fixture.pod()["securityContext"].clone();
    assert_eq!(
        (&context["runAsUser"], &context["runAsNonRoot"]),
        (&json!(65532), &json!(true))
    );
    assert_eq!(named(&fixture.container()["env"], "HOME")["value"], "/tmp");
    fixture.spec.kubernetes.run_as = Some(RunAs::Image);
    let context = fixture.pod()["securityContext"].clone();
    assert!(context["runAsUser"].is_null());
    assert_eq!(context["runAsNonRoot"], true);
    fixture.spec.kubernetes.run_as = Some(RunAs::User(0));
    assert_eq!(fixture.pod()["securityContext"]["runAsNonRoot"], false);
    fixture.spec.kubernetes.read_only_root = Some(false);
    assert_eq!(fixture.container()["securityContext"]["readOnlyRootFilesystem"], false);
    assert!(find(&fixture.container()["env"], "HOME").is_none());
    let fixture = Fixture::http().plain("HOME", "/data");
    assert_eq!(named(&fixture.container()["env"], "HOME")["value"], "/data");
}

#[test]
fn writable_directories() {
    let mut fixture = Fixture::http();
    fixture.spec.kubernetes.writable = vec!["/data/".into(), "/tmp".into(), "/data".into()];
    let container = fixture.container();
    let paths: Vec<_> = container["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .map(|m| &m["mountPath"])
        .collect();
    assert_eq!(paths, ["/tmp", "/data"]);
    for bad in ["/", "data", "/a/../b", "/secrets", "/secrets/x", "/a:b"] {
        fixture.spec.kubernetes.writable = vec![bad.into()];
        assert!(fixture.refusal().starts_with("writable"), "{bad}");
    }
}

#[test]
fn registry_account_becomes_secret() {
    let mut fixture = Fixture::http();
    let password = fixture.key("registry", "p4ss");
    fixture.spec.kubernetes.image_pull_secrets = vec![
        ImagePullSecret::Existing {
            name: "corporate".into(),
        },
        account(&password),
        account(&password),
    ];
    let rendered = fixture.render();
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
fn pull_secret_per_owner() {
    let mut fixture = Fixture::http();
    let password = fixture.key("registry", "p4ss");
    fixture.spec.kubernetes.image_pull_secrets = vec![account(&password)];
    let name = |fixture: &Fixture| fixture.render().pull_secrets[0].metadata.name.clone().expect("a name");
    let first = name(&fixture);
    let mut second = fixture.clone();
    second.name = portolan_core::InstallName::parse("01935a5a-0000-7000-8000-000000000002").expect("an id");
    assert_eq!(name(&second), first);
    second.spec.owner = portolan_core::Owner::Org;
    assert_ne!(name(&second), first);
}

#[test]
fn invalid_config_is_refused() {
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
