//! An independent checker of the restricted Pod Security Standard, written from its table of controls.

use portolan_core::StdioCarrier;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::fixture::Fixture;

/// Returns the controls of the restricted standard that the pod violates.
pub(super) fn violations(pod: &Json) -> Vec<String> {
    let mut found = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        found.extend((pod[key] == true).then(|| key.to_owned()));
    }
    let allowed = [
        "name",
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in list(&pod["volumes"]) {
        let kinds = volume.as_object().expect("a volume").keys();
        found.extend(kinds.filter(|kind| !allowed.contains(&kind.as_str())).cloned());
    }
    let shared = &pod["securityContext"];
    for kind in ["containers", "initContainers", "ephemeralContainers"] {
        for container in list(&pod[kind]) {
            let own = &container["securityContext"];
            let name = &container["name"];
            let mut need = |is_so: bool, what: &str| found.extend((!is_so).then(|| format!("{name}: {what}")));
            let effective = |key: &str| if own[key].is_null() { &shared[key] } else { &own[key] };
            need(own["privileged"] != true, "privileged");
            need(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation");
            need(effective("runAsNonRoot") == true, "runAsNonRoot");
            need(effective("runAsUser") != 0, "runAsUser");
            need(
                effective("seccompProfile")["type"] == "RuntimeDefault",
                "seccompProfile",
            );
            need(
                own["capabilities"]["drop"] == serde_json::json!(["ALL"]),
                "capabilities.drop",
            );
            need(list(&own["capabilities"]["add"]).next().is_none(), "capabilities.add");
            need(
                list(&container["ports"]).all(|port| port["hostPort"].is_null()),
                "hostPort",
            );
        }
    }
    found
}

/// Returns the violations of what the platform promises beyond the standard.
pub(super) fn weaknesses(pod: &Json) -> Vec<String> {
    let mut found = violations(pod);
    found.extend((pod["automountServiceAccountToken"] != false).then(|| "automountServiceAccountToken".to_owned()));
    found.extend((pod["enableServiceLinks"] != false).then(|| "enableServiceLinks".to_owned()));
    for kind in ["containers", "initContainers"] {
        for container in list(&pod[kind]) {
            let name = &container["name"];
            let is_closed = container["securityContext"]["readOnlyRootFilesystem"] == true;
            found.extend((!is_closed).then(|| format!("{name}: readOnlyRootFilesystem")));
            let has_limit = container["resources"]["limits"]["memory"].is_string();
            found.extend((!has_limit).then(|| format!("{name}: no limit of memory")));
        }
    }
    found
}

#[test]
fn pods_meet_restricted_standard() {
    for fixture in Fixture::all() {
        let fixture = fixture.secret("API_KEY", "s3cr3t").file("key.pem", "k").plain("A", "b");
        assert_eq!(weaknesses(&fixture.pod()), Vec::<String>::new());
    }
}

#[test]
fn checker_finds_violations() {
    let mut pod = Fixture::http().pod();
    pod["hostNetwork"] = true.into();
    pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
    pod["containers"][0]["securityContext"]["runAsUser"] = 0.into();
    pod["volumes"][0]["hostPath"] = serde_json::json!({ "path": "/" });
    assert_eq!(violations(&pod).len(), 4);
}

#[test]
fn bare_yaml_is_hardened() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {}
spec:
  template:
    spec:
      initContainers: [{ name: prepare, image: ghcr.io/acme/time:1 }]
      containers:
        - { name: server, image: ghcr.io/acme/time:1, command: [/server], securityContext: { capabilities: { drop: [NET_RAW] } } }
        - { name: sidecar, image: ghcr.io/acme/time:1 }
";
    for stdio in [StdioCarrier::Bridge, StdioCarrier::Attach] {
        let mut fixture = Fixture::stdio_image(Some("/server")).yaml(text);
        fixture.spec.kubernetes.stdio = Some(stdio);
        assert_eq!(violations(&fixture.pod()), Vec::<String>::new());
    }
}

/// Generates container settings, good and bad; none asks for root explicitly.
const SETTINGS: [&str; 16] = [
    "ports: [{ containerPort: 80, hostPort: 80 }]",
    "ports: [{ containerPort: 3000 }]",
    "securityContext: { privileged: true }",
    "securityContext: { privileged: false, allowPrivilegeEscalation: false }",
    "securityContext: { allowPrivilegeEscalation: true }",
    "securityContext: { capabilities: { add: [SYS_ADMIN], drop: [ALL] } }",
    "securityContext: { capabilities: { drop: [KILL] } }",
    "securityContext: { capabilities: { add: [] } }",
    "securityContext: { seccompProfile: { type: Unconfined } }",
    "securityContext: { seccompProfile: { type: RuntimeDefault } }",
    "securityContext: { runAsUser: 0 }",
    "securityContext: { runAsUser: 1000 }",
    "securityContext: { runAsNonRoot: true }",
    "securityContext: { readOnlyRootFilesystem: false }",
    "securityContext: { procMount: Unmasked }",
    "workingDir: /data",
];
/// Generates pod settings.
const POD_SETTINGS: [&str; 9] = [
    "hostNetwork: true",
    "hostNetwork: false",
    "hostPID: true",
    "hostIPC: true",
    "shareProcessNamespace: true",
    "volumes: [{ name: v, hostPath: { path: / } }]",
    "volumes: [{ name: v, emptyDir: {} }]",
    "securityContext: { seccompProfile: { type: Unconfined } }",
    "securityContext: { runAsUser: 0 }",
];

proptest! {
    #[test]
    fn accepted_yaml_meets_standard(
        pod in proptest::sample::subsequence(POD_SETTINGS.to_vec(), 0..3),
        server in proptest::sample::subsequence(SETTINGS.to_vec(), 0..3),
        sidecar in proptest::sample::subsequence(SETTINGS.to_vec(), 0..2),
        init in proptest::sample::subsequence(SETTINGS.to_vec(), 0..2),
    ) {
        let container = |name: &str, settings: &[&str]| {
            let all: Vec<_> = [format!("name: {name}, image: a/b")].into_iter().chain(settings.iter().map(|s| (*s).to_owned())).collect();
            format!("{{ {} }}", all.join(", "))
        };
        let mut fields: Vec<_> = pod.iter().map(|setting| (*setting).to_owned()).collect();
        fields.push(format!("containers: [{}, {}]", container("mcp-server", &server), container("sidecar", &sidecar)));
        fields.push(format!("initContainers: [{}]", container("init", &init)));
        let text = format!(
            "{{ apiVersion: apps/v1, kind: Deployment, metadata: {{}}, spec: {{ template: {{ spec: {{ {} }} }} }} }}",
            fields.join(", ")
        );
        for fixture in [Fixture::http(), Fixture::command()] {
            if let Ok(rendered) = fixture.yaml(text.clone()).try_render() {
                prop_assert_eq!(violations(&super::fixture::pod(&rendered.deployment)), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn parser_survives_any_text(text in "[a-z{}\\[\\]:,&*<!|>'\"$. \n-]{0,200}") {
        let _ = Fixture::http().yaml(text).try_render();
    }
}

fn list(value: &Json) -> impl Iterator<Item = &Json> {
    value.as_array().into_iter().flatten()
}
