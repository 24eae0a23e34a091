//! Refused settings of a Deployment YAML, in each place where they can occur.

use portolan_core::ImagePullSecret;

use super::fixture::Fixture;

/// Returns a Deployment with `extra` in its pod spec.
fn pod(extra: &str) -> String {
    format!(
        "{{ apiVersion: apps/v1, kind: Deployment, metadata: {{}}, spec: {{ template: {{ spec: {{ {extra} }} }} }} }}"
    )
}

/// Returns Deployments with the container as server, sidecar, init container and ephemeral container.
fn everywhere(container: &str) -> Vec<String> {
    let other = "{ name: other, image: ghcr.io/acme/time:1 }";
    let this = format!("{{ name: this, image: ghcr.io/acme/time:1, {container} }}");
    vec![
        pod(&format!("containers: [{this}]")),
        pod(&format!("containers: [{other}, {this}]")),
        pod(&format!("containers: [{other}], initContainers: [{this}]")),
        pod(&format!("containers: [{other}], ephemeralContainers: [{this}]")),
    ]
}

#[track_caller]
fn refused(text: &str, what: &str) {
    let refusal = Fixture::http().yaml(text).refusal();
    assert!(refusal.contains(what), "{what:?} is not named in: {refusal}");
    assert!(!refusal.contains('\n'), "{refusal}");
}

#[track_caller]
fn refused_in_containers(container: &str, what: &str) {
    for text in everywhere(container) {
        refused(&text, what);
    }
}

#[track_caller]
fn refused_in_pod(extra: &str, what: &str) {
    refused(&pod(&format!("containers: [{{ name: a }}], {extra}")), what);
}

#[test]
fn incomplete_deployment() {
    let containers = "{ template: { spec: { containers: [{ name: a }] } } }";
    for (text, what) in [
        (String::new(), "deployment yaml"),
        ("just text".into(), "apiVersion"),
        ("- a list".into(), "apiVersion"),
        (
            format!("{{ kind: Deployment, metadata: {{}}, spec: {containers} }}"),
            "apiVersion",
        ),
        (
            format!("{{ apiVersion: v1, kind: Deployment, metadata: {{}}, spec: {containers} }}"),
            "apps/v1",
        ),
        (
            format!("{{ apiVersion: apps/v1, kind: StatefulSet, metadata: {{}}, spec: {containers} }}"),
            "kind: Deployment",
        ),
        (
            format!("{{ apiVersion: apps/v1, kind: Deployment, spec: {containers} }}"),
            "metadata: is missing",
        ),
        (
            "{ apiVersion: apps/v1, kind: Deployment, metadata: {} }".into(),
            "spec: is missing",
        ),
        (
            "{ apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: {} }".into(),
            "spec.template: is missing",
        ),
        (
            "{ apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: { template: {} } }".into(),
            "spec.template.spec: is missing",
        ),
        (pod(""), "containers: is empty"),
        (pod("containers: []"), "containers: is empty"),
    ] {
        refused(&text, what);
    }
}

#[test]
fn unknown_fields() {
    refused_in_pod("hostnetwork: true", "spec.template.spec.hostnetwork");
    let text = pod("containers: [{ name: a, readynessProbe: { periodSeconds: 1 } }]");
    refused(&text, "spec.template.spec.containers[0].readynessProbe");
    refused(
        &pod("containers: [{ name: a, env: [{ name: A, value: 1 }] }]"),
        "env[0].value",
    );
}

#[test]
fn host_network() {
    refused_in_pod("hostNetwork: true", "hostNetwork");
}

#[test]
fn host_pid() {
    refused_in_pod("hostPID: true", "hostPID");
}

#[test]
fn host_ipc() {
    refused_in_pod("hostIPC: true", "hostIPC");
}

#[test]
fn host_path_volumes() {
    refused_in_pod("volumes: [{ name: v, hostPath: { path: / } }]", "volumes.hostPath");
}

#[test]
fn other_volume_types() {
    for kind in [
        "nfs: { server: a, path: / }",
        "iscsi: { targetPortal: a, iqn: b, lun: 0, secretRef: { name: other } }",
        "azureFile: { secretName: other, shareName: s }",
        "flexVolume: { driver: d, secretRef: { name: other } }",
        "gitRepo: { repository: 'https://example.com/x' }",
    ] {
        let name = kind.split(':').next().expect("a kind");
        refused_in_pod(&format!("volumes: [{{ name: v, {kind} }}]"), name);
    }
}

#[test]
fn privileged() {
    refused_in_containers("securityContext: { privileged: true }", "privileged");
}

#[test]
fn privilege_escalation() {
    refused_in_containers(
        "securityContext: { allowPrivilegeEscalation: true }",
        "allowPrivilegeEscalation",
    );
}

#[test]
fn added_capabilities() {
    refused_in_containers(
        "securityContext: { capabilities: { add: [NET_ADMIN] } }",
        "capabilities.add",
    );
    refused_in_containers(
        "securityContext: { capabilities: { add: [NET_BIND_SERVICE] } }",
        "capabilities.add",
    );
}

#[test]
fn host_ports() {
    refused_in_containers(
        "ports: [{ containerPort: 1 }, { containerPort: 80, hostPort: 80 }]",
        "hostPort",
    );
}

#[test]
fn unmasked_proc() {
    refused_in_containers("securityContext: { procMount: Unmasked }", "procMount");
}

#[test]
fn removed_protections() {
    refused_in_containers(
        "securityContext: { seccompProfile: { type: Unconfined } }",
        "seccompProfile",
    );
    refused_in_containers(
        "securityContext: { appArmorProfile: { type: Unconfined } }",
        "appArmorProfile",
    );
    refused_in_containers("securityContext: { seLinuxOptions: { type: spc_t } }", "seLinuxOptions");
    refused_in_containers(
        "securityContext: { windowsOptions: { hostProcess: true } }",
        "hostProcess",
    );
    refused_in_pod(
        "securityContext: { seccompProfile: { type: Unconfined } }",
        "seccompProfile",
    );
    refused_in_pod(
        "securityContext: { sysctls: [{ name: kernel.msgmax, value: '1' }] }",
        "sysctls",
    );
    let annotated = "{ apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: { template: { metadata: { annotations: { \
                     container.apparmor.security.beta.kubernetes.io/a: unconfined } }, spec: { containers: [{ name: a }] } } } }";
    refused(annotated, "apparmor");
}

#[test]
fn probe_hosts() {
    for probe in [
        "livenessProbe: { httpGet: { host: 169.254.169.254, port: 80 } }",
        "readinessProbe: { tcpSocket: { host: 10.0.0.1, port: 80 } }",
        "startupProbe: { httpGet: { host: a, port: 80 } }",
        "lifecycle: { preStop: { httpGet: { host: a, port: 80 } } }",
        "lifecycle: { postStart: { tcpSocket: { host: a, port: 80 } } }",
    ] {
        refused_in_containers(probe, "names a host");
    }
}

#[test]
fn root_without_opt_in() {
    refused_in_containers("securityContext: { runAsUser: 0 }", "runAsNonRoot: false");
    refused_in_pod("securityContext: { runAsUser: 0 }", "runAsNonRoot: false");
    Fixture::http()
        .yaml(pod(
            "containers: [{ name: a, securityContext: { runAsUser: 0, runAsNonRoot: false } }]",
        ))
        .render();
}

#[test]
fn service_account_token() {
    let token = "volumes: [{ name: v, projected: { sources: [{ serviceAccountToken: { path: t } }] } }]";
    refused_in_pod(token, "serviceAccountToken");
    let mut fixture = Fixture::http().yaml(pod(&format!("containers: [{{ name: a }}], {token}")));
    fixture.spec.kubernetes.service_account_token = true;
    fixture.render();
}

#[test]
fn disallowed_images() {
    for text in everywhere("command: [x]") {
        let mut fixture =
            Fixture::http().yaml(text.replace("this, image: ghcr.io/acme/", "this, image: ghcr.io/evil/"));
        fixture.environment.allowed_images = vec!["ghcr.io/acme".into()];
        assert!(
            fixture.refusal().contains("ghcr.io/evil/time:1"),
            "{}",
            fixture.refusal()
        );
    }
    let volume = pod("containers: [{ name: a }], volumes: [{ name: v, image: { reference: ghcr.io/evil/x } }]");
    let mut fixture = Fixture::http().yaml(volume);
    fixture.environment.allowed_images = vec!["ghcr.io/acme".into()];
    assert!(fixture.refusal().contains("ghcr.io/evil/x"));
}

const CONTAINER_REFERENCES: [&str; 2] = [
    "env: [{ name: A, valueFrom: { secretKeyRef: { name: SECRET, key: k } } }]",
    "envFrom: [{ secretRef: { name: SECRET } }]",
];
const POD_REFERENCES: [&str; 5] = [
    "volumes: [{ name: v, secret: { secretName: SECRET } }]",
    "volumes: [{ name: v, projected: { sources: [{ secret: { name: SECRET } }] } }]",
    "volumes: [{ name: v, csi: { driver: d, nodePublishSecretRef: { name: SECRET } } }]",
    "volumes: [{ name: v, csi: { driver: d, volumeAttributes: { secretName: SECRET } } }]",
    "imagePullSecrets: [{ name: SECRET }]",
];

#[test]
fn foreign_secrets() {
    for reference in CONTAINER_REFERENCES {
        refused_in_containers(
            &reference.replace("SECRET", "mcp-other-secrets"),
            "\"mcp-other-secrets\"",
        );
    }
    for reference in POD_REFERENCES {
        refused_in_pod(
            &reference.replace("SECRET", "mcp-other-secrets"),
            "\"mcp-other-secrets\"",
        );
    }
    let elsewhere = "volumes: [{ name: v, csi: { driver: d, volumeAttributes: { secretNamespace: kube-system } } }]";
    refused_in_pod(elsewhere, "secretNamespace");
}

#[test]
fn allowed_secrets_pass() {
    let own = "mcp-time-00000000abcd-secrets";
    for secret in [own, "${portolan.secret_name}", "shared", "corporate"] {
        let mut texts: Vec<_> = POD_REFERENCES
            .iter()
            .map(|reference| {
                pod(&format!(
                    "containers: [{{ name: a }}], {}",
                    reference.replace("SECRET", secret)
                ))
            })
            .collect();
        let quoted = format!("'{secret}'");
        texts.extend(
            CONTAINER_REFERENCES
                .iter()
                .flat_map(|reference| everywhere(&reference.replace("SECRET", &quoted))),
        );
        for text in texts {
            let mut fixture = Fixture::http()
                .secret("k", "v")
                .yaml(text.replace(&format!(" {secret} "), &format!(" {quoted} ")));
            fixture.config.allowed_secrets.insert("shared".into());
            fixture.spec.kubernetes.image_pull_secrets = vec![ImagePullSecret::Existing {
                name: "corporate".into(),
            }];
            fixture.render();
        }
    }
}
