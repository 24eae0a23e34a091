//! The rendered objects: names, labels, and the way back to their install.

use portolan_core::{Error, FailureKind, Owner, ServerName, UserId};
use portolan_k8s::name::{self, DeploymentKey};
use serde_json::json;

use super::fixture::{Fixture, INSTALL, NAME, json as as_json};

#[test]
fn objects_lead_back_to_install() {
    for fixture in Fixture::all() {
        let fixture = fixture.secret("API_KEY", "s3cr3t");
        let rendered = fixture.render();
        let mut objects = vec![as_json(&rendered.deployment)];
        objects.extend(rendered.service.iter().map(as_json));
        objects.extend(rendered.secret.iter().map(as_json));
        objects.extend(rendered.policies.iter().map(as_json));
        for object in &objects {
            assert!(
                object["apiVersion"].is_string() && object["kind"].is_string(),
                "{object}"
            );
            assert!(object["metadata"]["managedFields"].is_null(), "{object}");
            assert!(object["status"].is_null(), "{object}");
            assert_eq!(object["metadata"]["namespace"], "mcp-servers");
            assert_eq!(object["metadata"]["labels"][name::MANAGED_BY], "portolan");
        }
        let owned = objects
            .iter()
            .filter(|object| object["metadata"]["labels"][name::KIND].is_null());
        for object in owned {
            let meta = serde_json::from_value(object["metadata"].clone()).expect("metadata");
            assert_eq!(
                DeploymentKey::of_object(&meta, "portolan"),
                Some(DeploymentKey::Install(fixture.name))
            );
            assert_eq!(
                DeploymentKey::of_object(&meta, "another"),
                None,
                "what others apply is not ours"
            );
        }
    }
}

/// The API server drops empty lists, so each apply of one would count as a change.
#[test]
fn objects_have_no_empty_lists() {
    fn check(value: &serde_json::Value) {
        match value {
            serde_json::Value::Array(items) => {
                assert!(!items.is_empty());
                items.iter().for_each(check);
            }
            serde_json::Value::Object(fields) => fields.values().for_each(check),
            other => assert!(!other.is_null()),
        }
    }
    for mut fixture in Fixture::all() {
        for network in [
            portolan_k8s::NetworkMode::Off,
            portolan_k8s::NetworkMode::Unrestricted,
            portolan_k8s::NetworkMode::default(),
        ] {
            fixture.environment.network = network;
            let rendered = fixture.render();
            check(&as_json(&rendered.deployment));
            rendered.service.iter().for_each(|service| check(&as_json(service)));
            rendered.policies.iter().for_each(|policy| check(&as_json(policy)));
        }
    }
}

#[test]
fn object_names() {
    let rendered = Fixture::http().secret("A", "b").render();
    assert_eq!(rendered.deployment.metadata.name.as_deref(), Some(NAME));
    assert_eq!(
        rendered.service.expect("a service").metadata.name.as_deref(),
        Some(NAME)
    );
    let secret = rendered.secret.expect("a secret").metadata.name;
    assert_eq!(secret, Some(format!("{NAME}-secrets")));
    let policies: Vec<_> = rendered
        .policies
        .iter()
        .filter_map(|policy| policy.metadata.name.clone())
        .collect();
    assert_eq!(
        policies,
        ["mcp-baseline-portolan".to_owned(), format!("mcp-net-{NAME}")]
    );
}

#[test]
fn longest_server_name_fits() {
    let mut fixture = Fixture::http();
    fixture.spec.server = ServerName::parse("s".repeat(40)).expect("a name");
    let name = fixture.render().deployment.metadata.name.expect("a name");
    assert!(name.len() <= 63, "{name}");
}

#[test]
fn selector_is_constant() {
    let deployment = Fixture::command().deployment();
    let selector = json!({ name::MANAGED_BY: "portolan", name::INSTALL: INSTALL });
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in selector.as_object().expect("labels") {
        assert_eq!(&labels[key], value);
    }
    assert_eq!(labels[name::SERVER], "time");
}

#[test]
fn labels_never_name_a_user() {
    let mut fixture = Fixture::command();
    assert_eq!(fixture.deployment()["metadata"]["labels"][name::TEAM], "web");
    fixture.spec.owner = Owner::Personal(UserId::parse("alice@example.com").expect("a user"));
    let deployment = fixture.deployment();
    assert_eq!(deployment["metadata"]["labels"][name::OWNER_KIND], "user");
    assert!(!deployment.to_string().contains("alice"), "{deployment}");
}

#[test]
fn multitenant_installs_render_same_objects() {
    let mut fixture = Fixture::command().plain("REGION", "eu");
    fixture.spec.kubernetes.multitenant = true;
    let one = fixture.render();
    fixture.name = portolan_core::InstallName::parse("01935a5a-0000-7000-8000-000000000002").expect("an id");
    fixture.spec.owner = Owner::Org;
    let other = fixture.render();
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.deployment, other.deployment);
    assert_eq!(one.deployment.metadata.name.as_deref(), Some("mcp-time-shared"));
    assert_eq!(
        DeploymentKey::of_object(&one.deployment.metadata, "portolan"),
        Some(one.key.clone())
    );
    assert_eq!(one.key, DeploymentKey::Shared(fixture.spec.server));
}

#[test]
fn multitenant_refuses_install_secret() {
    let mut fixture = Fixture::command().secret("API_KEY", "s3cr3t");
    fixture.spec.kubernetes.multitenant = true;
    assert!(
        fixture.refusal().contains("all installs share"),
        "{}",
        fixture.refusal()
    );
}

#[test]
fn no_secret_without_secret_values() {
    assert!(Fixture::http().plain("A", "b").render().secret.is_none());
    assert!(Fixture::stdio_image(None).render().secret.is_none());
    assert!(Fixture::command().render().secret.is_some(), "the bridge has its token");
}

#[test]
fn missing_secret_is_named() {
    let mut fixture = Fixture::http().secret("API_KEY", "s3cr3t");
    fixture.secrets.clear();
    match fixture.try_render() {
        Err(Error::NotReady { failure, .. }) => {
            assert_eq!(failure.kind, FailureKind::Config);
            assert!(failure.message.contains("API_KEY"), "{failure}");
            assert!(failure.remedy.is_some());
        }
        other => panic!("not ready, not {other:?}"),
    }
}

#[test]
fn update_strategy_by_carrier() {
    let http = Fixture::http();
    assert!(http.render().rolls);
    let strategy = &http.deployment()["spec"]["strategy"];
    assert_eq!(strategy["type"], "RollingUpdate");
    assert_eq!(strategy["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }));
    for stdio in [Fixture::command(), Fixture::stdio_image(None)] {
        assert!(!stdio.render().rolls);
        assert_eq!(stdio.deployment()["spec"]["strategy"], json!({ "type": "Recreate" }));
    }
}

#[test]
fn rolling_pod_has_pre_stop_sleep() {
    let pod = Fixture::http().pod();
    let sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_i64()
        .expect("a sleep");
    let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("a grace");
    assert!(sleep >= 3 && grace >= sleep + 10, "{sleep} of {grace}");
}

#[test]
fn replicas_only_if_set() {
    for fixture in Fixture::all() {
        assert!(fixture.deployment()["spec"]["replicas"].is_null());
    }
    let mut many = Fixture::http();
    many.spec.kubernetes.replicas = Some(3);
    assert_eq!(many.deployment()["spec"]["replicas"], 3);
    let mut stdio = Fixture::command();
    stdio.spec.kubernetes.replicas = Some(3);
    assert!(stdio.refusal().contains("one process"));
}

#[test]
fn remote_server_is_refused() {
    let url = "https://mcp.example.com/mcp".parse().expect("a url");
    let fixture = Fixture::of(portolan_core::Source::Remote { url });
    assert!(fixture.refusal().starts_with("source:"), "{}", fixture.refusal());
}
