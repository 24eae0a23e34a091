//! Which objects there are, what they are called, and how they lead back to their install.

use portolan_core::{Error, FailureKind, Owner, ServerName, UserId};
use portolan_k8s::name::{self, DeploymentKey};
use serde_json::json;

use super::fixture::{INSTALL, NAME, World, json as as_json};

#[test]
fn every_object_is_ready_to_be_applied_and_leads_back_to_its_install() {
    for world in World::all() {
        let world = world.secret("API_KEY", "s3cr3t");
        let rendered = world.render();
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
                Some(DeploymentKey::Install(world.name))
            );
            assert_eq!(
                DeploymentKey::of_object(&meta, "another"),
                None,
                "what others apply is not ours"
            );
        }
    }
}

/// The API server drops empty lists: one that is applied anew would count as a change each time.
#[test]
fn no_object_has_an_empty_list() {
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
    for mut world in World::all() {
        for network in [
            portolan_k8s::NetworkMode::Off,
            portolan_k8s::NetworkMode::Unrestricted,
            portolan_k8s::NetworkMode::default(),
        ] {
            world.environment.network = network;
            let rendered = world.render();
            check(&as_json(&rendered.deployment));
            rendered.service.iter().for_each(|service| check(&as_json(service)));
            rendered.policies.iter().for_each(|policy| check(&as_json(policy)));
        }
    }
}

#[test]
fn names_are_made_of_the_server_and_the_install() {
    let rendered = World::http().secret("A", "b").render();
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
fn the_longest_server_name_still_fits() {
    let mut world = World::http();
    world.spec.server = ServerName::parse("s".repeat(40)).expect("a name");
    let name = world.render().deployment.metadata.name.expect("a name");
    assert!(name.len() <= 63, "{name}");
}

#[test]
fn the_selector_is_what_never_changes() {
    let deployment = World::command().deployment();
    let selector = json!({ name::MANAGED_BY: "portolan", name::INSTALL: INSTALL });
    assert_eq!(deployment["spec"]["selector"]["matchLabels"], selector);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (key, value) in selector.as_object().expect("labels") {
        assert_eq!(&labels[key], value);
    }
    assert_eq!(labels[name::SERVER], "time");
}

#[test]
fn labels_name_the_owner_and_never_a_person() {
    let mut world = World::command();
    assert_eq!(world.deployment()["metadata"]["labels"][name::TEAM], "web");
    world.spec.owner = Owner::Personal(UserId::parse("alice@example.com").expect("a user"));
    let deployment = world.deployment();
    assert_eq!(deployment["metadata"]["labels"][name::OWNER_KIND], "user");
    assert!(!deployment.to_string().contains("alice"), "{deployment}");
}

#[test]
fn all_installs_of_a_multi_tenant_server_ask_for_the_same_objects() {
    let mut world = World::command().plain("REGION", "eu");
    world.spec.kubernetes.multitenant = true;
    let one = world.render();
    world.name = portolan_core::InstallName::parse("01935a5a-0000-7000-8000-000000000002").expect("an id");
    world.spec.owner = Owner::Org;
    let other = world.render();
    assert_eq!(one.digest, other.digest);
    assert_eq!(one.deployment, other.deployment);
    assert_eq!(one.deployment.metadata.name.as_deref(), Some("mcp-time-shared"));
    assert_eq!(
        DeploymentKey::of_object(&one.deployment.metadata, "portolan"),
        Some(one.key.clone())
    );
    assert_eq!(one.key, DeploymentKey::Shared(world.spec.server));
}

#[test]
fn what_installs_share_is_not_given_the_secret_of_one() {
    let mut world = World::command().secret("API_KEY", "s3cr3t");
    world.spec.kubernetes.multitenant = true;
    assert!(world.refusal().contains("all installs share"), "{}", world.refusal());
}

#[test]
fn a_server_without_anything_secret_has_no_secret() {
    assert!(World::http().plain("A", "b").render().secret.is_none());
    assert!(World::stdio_image(None).render().secret.is_none());
    assert!(World::command().render().secret.is_some(), "the bridge has its token");
}

#[test]
fn a_secret_that_is_missing_is_said_to_be() {
    let mut world = World::http().secret("API_KEY", "s3cr3t");
    world.secrets.clear();
    match world.try_render() {
        Err(Error::NotReady { failure, .. }) => {
            assert_eq!(failure.kind, FailureKind::Config);
            assert!(failure.message.contains("API_KEY"), "{failure}");
            assert!(failure.remedy.is_some());
        }
        other => panic!("not ready, not {other:?}"),
    }
}

#[test]
fn http_servers_roll_and_stdio_servers_are_replaced() {
    let http = World::http();
    assert!(http.render().rolls);
    let strategy = &http.deployment()["spec"]["strategy"];
    assert_eq!(strategy["type"], "RollingUpdate");
    assert_eq!(strategy["rollingUpdate"], json!({ "maxUnavailable": 0, "maxSurge": 1 }));
    for stdio in [World::command(), World::stdio_image(None)] {
        assert!(!stdio.render().rolls);
        assert_eq!(stdio.deployment()["spec"]["strategy"], json!({ "type": "Recreate" }));
    }
}

#[test]
fn a_rolling_pod_serves_on_while_callers_learn_that_it_goes() {
    let pod = World::http().pod();
    let sleep = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        .as_i64()
        .expect("a sleep");
    let grace = pod["terminationGracePeriodSeconds"].as_i64().expect("a grace");
    assert!(sleep >= 3 && grace >= sleep + 10, "{sleep} of {grace}");
}

#[test]
fn copies_belong_to_whoever_scales() {
    for world in World::all() {
        assert!(world.deployment()["spec"]["replicas"].is_null());
    }
    let mut many = World::http();
    many.spec.kubernetes.replicas = Some(3);
    assert_eq!(many.deployment()["spec"]["replicas"], 3);
    let mut stdio = World::command();
    stdio.spec.kubernetes.replicas = Some(3);
    assert!(stdio.refusal().contains("one process"));
}

#[test]
fn a_remote_server_is_refused() {
    let url = "https://mcp.example.com/mcp".parse().expect("a url");
    let world = World::of(portolan_core::Source::Remote { url });
    assert!(world.refusal().starts_with("source:"), "{}", world.refusal());
}
