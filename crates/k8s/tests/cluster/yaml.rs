//! A Deployment YAML of the server's own: taken, refused, shown.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use portolan_core::{
    EnvValue, Error, Precondition, Runtime, Secret, ServerSpec, Status, SystemClock,
    memory::{MemoryDiscovery, MemoryGateway, MemoryRegistry, NoCredentials},
    orchestrator::{Orchestrator, OrchestratorParts},
};
use portolan_k8s::{
    Scheduling,
    render::{RenderInput, show},
};
use serde_json::json;

use crate::{
    servers,
    test_gateway::Gate,
    test_namespace::{Room, name, ready, until, with_room},
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

/// One setting of each class that is refused, and what the refusal names.
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
async fn one_that_is_taken_runs_and_answers() {
    with_room("yaml", async |room| {
        let runtime = Arc::new(room.runtime());
        let mut server = servers::everything();
        server.kubernetes.deployment_yaml = Some(TAKEN.into());
        let mut spec = servers::run(&server);
        spec.env.insert("TIME_OF_DAY".into(), EnvValue::Plain("morning".into()));
        let install = ready(&runtime, &spec).await;
        let live = only_deployment(&room).await;
        let full = runtime.deployment(&install).expect("it runs");
        assert_eq!(
            full,
            format!(
                "{}/{}",
                room.namespace,
                live["metadata"]["name"].as_str().expect("a name")
            )
        );
        assert_eq!(live["metadata"]["annotations"]["team"], "everything");
        let container = &live["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["resources"]["limits"]["memory"], "384Mi");
        assert!(container["readinessProbe"].is_object(), "what is left out is filled in");
        let gate = Gate::of(Some(runtime), &server, install).await;
        let env = gate.text("everything__get-env", json!({})).await.expect("an answer");
        let greeting = format!("good morning from {}", room.namespace);
        assert!(env.contains(&greeting), "{env}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_refused_is_refused_when_it_is_stored_and_when_it_is_run() {
    with_room("refused", async |room| {
        let mut config = room.config();
        config.default_environment.allowed_images = vec!["docker.io/local".into()];
        let runtime = Arc::new(room.runtime_with(config));
        let orchestrator = Orchestrator::new(OrchestratorParts {
            registry: Arc::new(MemoryRegistry::new()),
            credentials: room.credentials.clone(),
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
async fn the_final_one_pasted_back_changes_nothing() {
    with_room("shown", async |room| {
        let runtime = room.runtime();
        let mut server = servers::everything();
        server.kubernetes.deployment_yaml = Some(TAKEN.into());
        let mut spec = servers::run(&server);
        spec.env.insert("TIME_OF_DAY".into(), EnvValue::Plain("morning".into()));
        let install = ready(&runtime, &spec).await;
        let (pods, before) = (room.pod_uids().await, only_deployment(&room).await);
        let config = room.config();
        let shown = show(&RenderInput {
            name: &install,
            spec: &spec,
            config: &config,
            environment: &config.default_environment,
            secrets: &BTreeMap::new(),
            bridge_token: &Secret::new("not the one that it has"),
            scheduling: &Scheduling::default(),
            restarted: None,
        })
        .expect("it is shown");
        assert!(shown.contains("good morning from"), "the final one: {shown}");
        spec.kubernetes.deployment_yaml = Some(shown);
        runtime.ensure(&install, &spec).await.expect("it is taken");
        until(&runtime, &install, Duration::from_secs(30), |status| {
            *status == Status::Ready
        })
        .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(room.pod_uids().await, pods, "the pod is the same");
        let after = only_deployment(&room).await;
        assert_eq!(after["spec"], before["spec"]);
        assert_eq!(after["metadata"]["generation"], before["metadata"]["generation"]);
    })
    .await;
}

async fn only_deployment(room: &Room) -> serde_json::Value {
    let mut all = room
        .api::<Deployment>()
        .list(&ListParams::default())
        .await
        .expect("a list")
        .items;
    assert_eq!(all.len(), 1);
    serde_json::to_value(all.remove(0)).expect("JSON")
}

/// `server` with a Deployment YAML whose pod is `pod`.
fn with_pod(mut server: ServerSpec, pod: &str) -> ServerSpec {
    server.kubernetes.deployment_yaml = Some(format!(
        "{{ apiVersion: apps/v1, kind: Deployment, metadata: {{}}, spec: {{ template: {{ spec: {{ {pod} }} }} }} }}"
    ));
    server
}
