//! Merging a Deployment YAML with the generated Deployment.

use portolan_core::StdioCarrier;
use portolan_k8s::{name, render::Carrier};
use serde_json::json;

use super::fixture::{Fixture, INSTALL, NAME, find, named, server};

const BARE: &str = "{ apiVersion: apps/v1, kind: Deployment, metadata: {}, spec: { template: { spec: { containers: [{ name: a }] } } } }";

fn container(fields: &str) -> String {
    BARE.replace("{ name: a }", &format!("{{ name: a, {fields} }}"))
}

fn pod(fields: &str) -> String {
    BARE.replace("containers:", &format!("{fields}, containers:"))
}

#[test]
fn bare_yaml_equals_generated() {
    for fixture in Fixture::all() {
        let fixture = fixture.plain("A", "b").secret("KEY", "s").file("f", "x");
        let generated = fixture.render();
        let filled = fixture.yaml(BARE).render();
        assert_eq!(filled.deployment, generated.deployment);
        assert_eq!(filled.digest, generated.digest);
    }
}

#[test]
fn identity_is_always_generated() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: mine
  namespace: kube-system
  labels: { app: mine }
  annotations: { portolan.dev/digest: forged, note: kept }
spec:
  replicas: 7
  paused: true
  selector: { matchLabels: { app: mine } }
  template:
    metadata:
      labels: { app.kubernetes.io/name: portolan, app: mine }
      annotations: { portolan.dev/restarted-at: forged, sidecar: kept }
    spec:
      serviceAccountName: admin
      serviceAccount: admin
      automountServiceAccountToken: true
      restartPolicy: Never
      containers: [{ name: a }]
";
    let fixture = Fixture::command().yaml(text);
    let (rendered, deployment) = (fixture.render(), fixture.deployment());
    let plain = Fixture::command().deployment();
    assert_eq!(deployment["metadata"]["name"], NAME);
    assert_eq!(deployment["metadata"]["namespace"], "mcp-servers");
    assert_eq!(deployment["metadata"]["labels"], plain["metadata"]["labels"]);
    assert_eq!(
        deployment["metadata"]["annotations"],
        json!({ "note": "kept", name::DIGEST: rendered.digest })
    );
    assert_eq!(deployment["spec"]["selector"], plain["spec"]["selector"]);
    assert!(deployment["spec"]["replicas"].is_null() && deployment["spec"]["paused"].is_null());
    let template = &deployment["spec"]["template"];
    assert_eq!(
        template["metadata"]["labels"],
        plain["spec"]["template"]["metadata"]["labels"]
    );
    assert_eq!(template["metadata"]["labels"][name::INSTALL], INSTALL);
    assert_eq!(template["metadata"]["annotations"]["sidecar"], "kept");
    assert!(template["metadata"]["annotations"][name::RESTARTED_AT].is_null());
    let pod = &template["spec"];
    assert!(pod["serviceAccountName"].is_null() && pod["serviceAccount"].is_null());
    assert_eq!(
        (&pod["automountServiceAccountToken"], &pod["restartPolicy"]),
        (&json!(false), &json!("Always"))
    );
    assert_eq!(rendered.warnings.len(), 3, "{:?}", rendered.warnings);
}

#[test]
fn yaml_variables_win() {
    let text = container("env: [{ name: A, value: mine }, { name: Z, value: '$(A)' }]");
    let fixture = Fixture::http().plain("A", "ours").plain("B", "ours").yaml(text);
    let env = fixture.container()["env"].clone();
    assert_eq!(named(&env, "A")["value"], "mine");
    assert_eq!(
        named(&env, "Z")["value"],
        "$(A)",
        "what the YAML's author writes is Kubernetes' own"
    );
    assert_eq!(named(&env, "B")["value"], "ours");
}

#[test]
fn dangling_secret_ref_is_dropped() {
    let text = container(
        "env: [{ name: A, valueFrom: { secretKeyRef: { name: '${portolan.secret_name}', key: A } } }, \
         { name: B, valueFrom: { secretKeyRef: { name: '${portolan.secret_name}', key: B } } }, \
         { name: C, valueFrom: { secretKeyRef: { name: shared, key: C } } }]",
    );
    let mut fixture = Fixture::http().secret("A", "s").yaml(text);
    fixture.config.allowed_secrets.insert("shared".into());
    let env = fixture.container()["env"].clone();
    assert!(
        find(&env, "A").is_some() && find(&env, "B").is_none() && find(&env, "C").is_some(),
        "{env}"
    );
}

#[test]
fn bridge_runs_yaml_command() {
    let fixture = Fixture::command().yaml(container("command: [node, server.js], args: [--fast]"));
    assert_eq!(fixture.render().carrier, Carrier::Bridge);
    let container = fixture.container();
    assert_eq!(container["command"], json!(["/portolan-bridge"]));
    assert_eq!(
        container["args"],
        json!(["--port", "8080", "--", "node", "server.js", "--fast"])
    );
    let unknown = Fixture::stdio_image(None).yaml(self::container("command: [/server]"));
    assert_eq!(
        unknown.render().carrier,
        Carrier::Bridge,
        "now it is known what to start"
    );
}

#[test]
fn arguments_belong_to_their_program() {
    let fixture = Fixture::command().yaml(container("command: [node]"));
    assert_eq!(fixture.container()["args"], json!(["--port", "8080", "--", "node"]));
    let fixture = Fixture::command().yaml(container("args: [mcp-server-git]"));
    assert_eq!(
        fixture.container()["args"],
        json!(["--port", "8080", "--", "uvx", "mcp-server-git"])
    );
}

#[test]
fn yaml_cannot_set_bridge_token() {
    let fixture = Fixture::command().yaml(container("env: [{ name: PORTOLAN_BRIDGE_TOKEN, value: known }]"));
    let env = fixture.container()["env"].clone();
    assert!(named(&env, "PORTOLAN_BRIDGE_TOKEN")["value"].is_null());
}

#[test]
fn attached_container_keeps_stdin_open() {
    let mut fixture = Fixture::command().yaml(container("stdin: false, stdinOnce: true, tty: true"));
    fixture.spec.kubernetes.stdio = Some(StdioCarrier::Attach);
    let container = fixture.container();
    assert_eq!(
        (&container["stdin"], &container["stdinOnce"], &container["tty"]),
        (&json!(true), &json!(false), &json!(false))
    );
}

#[test]
fn yaml_settings_are_kept() {
    let text = "
apiVersion: apps/v1
kind: Deployment
metadata: {}
spec:
  replicas: 3
  strategy: { type: Recreate }
  template:
    spec:
      terminationGracePeriodSeconds: 7
      tolerations: [{ key: gpu }]
      nodeSelector: { disk: ssd, pool: mine }
      securityContext: { runAsUser: 1000, fsGroup: 1000 }
      containers:
        - { name: sidecar, image: ghcr.io/acme/sidecar:1 }
        - name: mcp-server
          image: ghcr.io/acme/other:2
          imagePullPolicy: Always
          resources: { limits: { cpu: 2, memory: 1Gi } }
          readinessProbe: { httpGet: { path: /ready, port: 3000 } }
          ports: [{ containerPort: 9090, name: metrics }]
          securityContext: { readOnlyRootFilesystem: false }
          volumeMounts: [{ name: cache, mountPath: /tmp }]
      volumes: [{ name: cache, emptyDir: { sizeLimit: 1Gi } }]
";
    let mut fixture = Fixture::http().yaml(text);
    fixture.scheduling.node_selector = [
        ("pool".to_owned(), "ours".to_owned()),
        ("zone".to_owned(), "a".to_owned()),
    ]
    .into();
    let (deployment, pod) = (fixture.deployment(), fixture.pod());
    assert_eq!(deployment["spec"]["replicas"], 3);
    assert_eq!(deployment["spec"]["strategy"], json!({ "type": "Recreate" }));
    assert_eq!(pod["terminationGracePeriodSeconds"], 7);
    assert_eq!(pod["tolerations"], json!([{ "key": "gpu" }]));
    assert_eq!(
        pod["nodeSelector"],
        json!({ "disk": "ssd", "pool": "mine", "zone": "a" })
    );
    let context = &pod["securityContext"];
    assert_eq!(
        (&context["runAsUser"], &context["fsGroup"]),
        (&json!(1000), &json!(1000))
    );
    assert!(
        context["runAsGroup"].is_null(),
        "the default group belongs to the default user"
    );
    let container = server(&pod);
    assert_eq!(
        (&container["image"], &container["imagePullPolicy"]),
        (&json!("ghcr.io/acme/other:2"), &json!("Always"))
    );
    assert_eq!(
        container["resources"],
        json!({ "limits": { "cpu": "2", "memory": "1Gi" } })
    );
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/ready");
    assert!(
        container["startupProbe"]["tcpSocket"].is_object(),
        "the other probes are filled in"
    );
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], false);
    let ports: Vec<_> = container["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|port| &port["containerPort"])
        .collect();
    assert_eq!(ports, [9090, 3000]);
    let at_tmp = container["volumeMounts"]
        .as_array()
        .expect("mounts")
        .iter()
        .filter(|mount| mount["mountPath"] == "/tmp");
    assert_eq!(at_tmp.count(), 1, "one mount at a place");
}

#[test]
fn bridge_and_file_mounts_are_fixed() {
    let text = pod("volumes: [{ name: v, emptyDir: {} }]").replace(
        "name: a",
        "name: a, volumeMounts: [{ name: v, mountPath: /bridge }, { name: v, mountPath: /secrets }]",
    );
    let fixture = Fixture::stdio_image(Some("/server")).file("key.pem", "k").yaml(text);
    let container = fixture.container();
    for ours in ["portolan-bridge", "portolan-secrets"] {
        assert!(find(&container["volumeMounts"], ours).is_some(), "{ours}");
    }
    assert!(find(&container["volumeMounts"], "v").is_none());
}

#[test]
fn pull_secrets_and_env_from_add_up() {
    let text = pod("imagePullSecrets: [{ name: shared }]")
        .replace("name: a", "name: a, envFrom: [{ configMapRef: { name: mine } }]");
    let mut fixture = Fixture::http().yaml(text);
    fixture.config.allowed_secrets.insert("shared".into());
    fixture.spec.kubernetes.image_pull_secrets = vec![portolan_core::ImagePullSecret::Existing {
        name: "corporate".into(),
    }];
    fixture.spec.kubernetes.env_from = vec![portolan_core::EnvFrom::ConfigMap {
        name: "ours".into(),
        prefix: None,
    }];
    assert_eq!(
        fixture.pod()["imagePullSecrets"],
        json!([{ "name": "shared" }, { "name": "corporate" }])
    );
    let sources = json!([{ "configMapRef": { "name": "mine" } }, { "configMapRef": { "name": "ours" } }]);
    assert_eq!(fixture.container()["envFrom"], sources);
}

#[test]
fn changed_yaml_changes_digest() {
    let digest = |text: &str| Fixture::http().yaml(text).render().digest;
    assert_ne!(digest(BARE), digest(&pod("terminationGracePeriodSeconds: 9")));
    assert_eq!(digest(BARE), digest(&format!("# a comment\n{BARE}")));
}
