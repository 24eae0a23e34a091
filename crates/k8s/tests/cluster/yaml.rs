//! The Deployment YAML of a server: accepted, refused, shown.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use portolan_core::{
    EnvValue, Error, Precondition, Runtime, Secret, ServerSpec, Status, SystemClock,
    memory::{MemoryDiscovery, MemoryGateway, MemoryRegistry, NoCredentials},
    orchestrator::{Orchestrator, OrchestratorParts},
};
use portolan_k8s::render::{RenderInput, show};
use serde_json::json;

use crate::{
    sandbox::{Sandbox, name, ready, with_sandbox},
    servers,
    test_gateway::TestGateway,
    wait::wait_for_status,
};

const TAKEN: &str = "
apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${portolan.deployment_name}
  annotations:
    team: ${portolan.server_name}
spec:
  template:
    spec:
      containers:
        - name: mcp-server
          image: ${portolan.docker_image}
          command: ['${portolan.command}']
          args: ${portolan.arguments}
          env:
            - { name: GREETING, value: 'good ${env.TIME_OF_DAY} from ${portolan.namespace}' }
          resources:
            requests: { cpu: 5m, memory: 24Mi }
            limits: { memory: 384Mi }
";

/// One refused setting of each class, and what the error names.
const REFUSED: [(&str, &str); 7] = [
    ("containers: [", "line"),
    ("hostNetwork: true, containers: [{ name: a }]", "hostNetwork"),
    (
        "containers: [{ name: a, securityContext: { privileged: true } }]",
        "privileged",
    ),
    (
        "containers: [{ name: a }], volumes: [{ name: v, hostPath: { path: / } }]",
        "volumes.hostPath",
    ),
    (
        "containers: [{ name: a, env: [{ name: A, valueFrom: { secretKeyRef: { name: theirs, key: k } } }] }]",
        "theirs",
    ),
    ("containers: [{ name: a, readynessProbe: {} }]", "readynessProbe"),
    ("containers: [{ name: a, image: 'evil.example/a:1' }]", "evil.example"),
];

#[tokio::test(flavor = "multi_thread")]
async fn accepted_yaml_runs() {
    with_sandbox("yaml", async |sandbox| {
        let runtime = Arc::new(sandbox.runtime());
        let mut server = servers::everything();
        server.kubernetes.deployment_yaml = Some(TAKEN.into());
        let mut spec = servers::run(&server);
        spec.env.insert("TIME_OF_DAY".into(), EnvValue::Plain("morning".into()));
        let install = ready(&runtime, &spec).await;
        let live = only_deployment(&sandbox).await;
        let full = runtime.deployment(&install).expect("it runs");
        assert_eq!(
            full,
            format!(
                "{}/{}",
                sandbox.namespace,
                live["metadata"]["name"].as_str().expect("a name")
            )
        );
        assert_eq!(live["metadata"]["annotations"]["team"], "everything");
        let container = &live["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["memory"], "384Mi");
        assert!(container["readinessProbe"].is_object(), "what is left out is filled in");
        let gateway = TestGateway::new(Some(runtime), &server, install).await;
        let env = gateway.text("everything__get-env", json!({})).await.expect("an answer");
        let greeting = format!("good morning from {}", sandbox.namespace);
        assert!(env.contains(&greeting), "{env}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_yaml_is_refused_everywhere() {
    with_sandbox("refused", async |sandbox| {
        let mut config = sandbox.config();
        config.default_environment.allowed_images = vec!["docker.io/local".into()];
        let runtime = Arc::new(sandbox.runtime_with(config));
        let orchestrator = Orchestrator::new(OrchestratorParts {
            registry: Arc::new(MemoryRegistry::new()),
            credentials: sandbox.credentials.clone(),
            runtime: runtime.clone(),
            gateway: Arc::new(MemoryGateway::new()),
            discovery: Arc::new(MemoryDiscovery::new(Vec::new())),
            broker: Arc::new(NoCredentials),
            clock: Arc::new(SystemClock),
        });
        for (pod, named) in REFUSED {
            let server = with_pod(servers::http_server(), pod);
            let refusals = [
                Runtime::check(&*runtime, &server).expect_err("it is refused"),
                orchestrator
                    .put_server(server.clone(), Precondition::None)
                    .await
                    .expect_err("it is refused"),
                runtime
                    .ensure(&name(), &servers::run(&server))
                    .await
                    .expect_err("it is refused"),
            ];
            println!("{}", refusals[0]);
            for refusal in refusals {
                let says_what = matches!(&refusal, Error::Invalid { .. }) && refusal.to_string().contains(named);
                assert!(says_what, "{named}: {refusal:?}");
            }
        }
        let accepted = with_pod(servers::http_server(), "containers: [{ name: a }]");
        orchestrator
            .put_server(accepted, Precondition::Absent)
            .await
            .expect("nothing was stored under its name, and a good one is");
        assert_eq!(runtime.list().await.expect("a list"), [], "nothing was deployed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pasted_back_yaml_changes_nothing() {
    with_sandbox("shown", async |sandbox| {
        let runtime = sandbox.runtime();
        let mut server = servers::everything();
        server.kubernetes.deployment_yaml = Some(TAKEN.into());
        let mut spec = servers::run(&server);
        spec.env.insert("TIME_OF_DAY".into(), EnvValue::Plain("morning".into()));
        let install = ready(&runtime, &spec).await;
        let (pods, before) = (sandbox.pod_uids().await, only_deployment(&sandbox).await);
        let config = sandbox.config();
        let token = Secret::new("not the one that it has");
        let input = RenderInput::new(&install, &spec, &config, &config.default_environment, &token);
        let shown = show(&input).expect("it is shown");
        assert!(shown.contains("good morning from"), "the final one: {shown}");
        spec.kubernetes.deployment_yaml = Some(shown);
        runtime.ensure(&install, &spec).await.expect("it is taken");
        wait_for_status(&runtime, &install, Duration::from_secs(30), |status| {
            *status == Status::Ready
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(sandbox.pod_uids().await, pods, "the pod is the same");
        let after = only_deployment(&sandbox).await;
        assert_eq!(after["spec"], before["spec"]);
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    })
    .await;
}

async fn only_deployment(sandbox: &Sandbox) -> serde_json::Value {
    let mut all = sandbox
        .api::<Deployment>()
        .list(&ListParams::default())
        .await
        .expect("a list")
        .items;
    assert_eq!(all.len(), 1);
    serde_json::to_value(all.remove(0)).expect("JSON")
}

/// Returns `server` with a Deployment YAML whose pod spec is `pod`.
fn with_pod(mut server: ServerSpec, pod: &str) -> ServerSpec {
    server.kubernetes.deployment_yaml = Some(format!(
        "{{ apiVersion: apps/v1, kind: Deployment, metadata: {{}}, spec: {{ template: {{ spec: {{ {pod} }} }} }} }}"
    ));
    server
}
