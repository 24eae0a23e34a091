//! Each state of a deployment, from the facts that the cluster tells in it.

use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:10:00Z";

/// Facts, to be changed.
struct Case {
    deployment: Value,
    pods: Vec<Value>,
    warnings: Vec<Vec<PodWarning>>,
    write_failure: Option<Failure>,
    written: bool,
    was_ready: bool,
    waking: bool,
    last_lines: Option<(CrashedRun, Vec<String>)>,
}

impl Case {
    fn of(pods: Vec<Value>) -> Self {
        Self {
            deployment: json!({
                "metadata": { "name": "mcp-a", "namespace": "ns", "generation": 1 },
                "spec": { "replicas": 1, "selector": {}, "template": {} },
                "status": { "observedGeneration": 1 },
            }),
            warnings: vec![Vec::new(); pods.len()],
            pods,
            write_failure: None,
            written: true,
            was_ready: false,
            waking: false,
            last_lines: None,
        }
    }

    fn assess(&self) -> Assessment {
        let deployment: Deployment = serde_json::from_value(self.deployment.clone()).expect("a deployment");
        let pods: Vec<Arc<Pod>> = self
            .pods
            .iter()
            .map(|pod| Arc::new(serde_json::from_value(pod.clone()).expect("a pod")))
            .collect();
        assess(&Observation {
            now: NOW.parse().expect("a time"),
            template: "t",
            deployment: Some(&deployment),
            pods: &pods,
            warnings: &self.warnings,
            write_failure: self.write_failure.as_ref(),
            written: self.written,
            was_ready: self.was_ready,
            waking: self.waking,
            last_lines: self.last_lines.as_ref().map(|(crash, lines)| (crash, lines.as_slice())),
        })
    }

    fn failure(&self) -> Failure {
        match self.assess().status {
            Status::Failed { failure } => failure,
            other => panic!("failed, not {other:?}"),
        }
    }
}

/// A pod with one container, and what the kubelet says about it.
fn pod(container: Value) -> Value {
    json!({
        "metadata": {
            "name": "mcp-a-1", "uid": "1", "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": { "portolan.dev/template": "t" },
        },
        "spec": { "containers": [{ "name": "mcp-server", "image": "ghcr.io/acme/github:9", "readinessProbe": {} }] },
        "status": {
            "phase": "Running",
            "conditions": [{ "type": "PodScheduled", "status": "True" }],
            "containerStatuses": [container],
        },
    })
}

fn container(state: Value, last: Value, restarts: i32) -> Value {
    json!({
        "name": "mcp-server", "image": "ghcr.io/acme/github:9", "imageID": "", "ready": false,
        "restartCount": restarts, "state": state, "lastState": last,
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    pod(container(
        json!({ "waiting": { "reason": reason, "message": message } }),
        json!({}),
        0,
    ))
}

fn ended(code: i32, reason: &str) -> Value {
    json!({ "terminated": { "exitCode": code, "reason": reason, "finishedAt": "2026-01-01T00:09:48Z" } })
}

fn ready() -> Value {
    let mut pod = pod(container(json!({ "running": {} }), json!({}), 0));
    pod["status"]["containerStatuses"][0]["ready"] = json!(true);
    let conditions = pod["status"]["conditions"].as_array_mut().expect("a list");
    conditions.push(json!({ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:09:00Z" }));
    pod
}

#[test]
fn ready_pod_of_wanted_template() {
    assert_eq!(Case::of(vec![ready()]).assess().status, Status::Ready);
}

#[test]
fn ready_pod_of_old_template() {
    let mut old = ready();
    old["metadata"]["annotations"]["portolan.dev/template"] = json!("before");
    assert_eq!(Case::of(vec![old]).assess().status, Status::Pending { cause: None });
}

#[test]
fn unwritten_spec_is_pending() {
    let mut case = Case::of(vec![ready()]);
    case.written = false;
    assert_eq!(case.assess().status, Status::Pending { cause: None });
}

#[test]
fn unprobed_container_must_run_a_while() {
    let mut young = ready();
    young["spec"]["containers"][0]
        .as_object_mut()
        .expect("a container")
        .remove("readinessProbe");
    let at = |young: &mut Value, at: &str| young["status"]["conditions"][1]["lastTransitionTime"] = json!(at);
    at(&mut young, "2026-01-01T00:09:59Z");
    let assessment = Case::of(vec![young.clone()]).assess();
    assert_eq!(assessment.status, Status::Pending { cause: None });
    assert!(assessment.recheck_after.is_some());
    at(&mut young, "2026-01-01T00:09:57Z");
    assert_eq!(Case::of(vec![young]).assess().status, Status::Ready);
}

#[test]
fn image_pull_failure_message() {
    let message = "failed to pull and unpack image: failed to resolve reference: manifest unknown";
    let mut case = Case::of(vec![waiting("ErrImagePull", message)]);
    case.warnings[0].push(PodWarning {
        reason: "Failed".into(),
        message: "Error: ErrImagePull".into(),
        at: Some("2026-01-01T00:09:48Z".parse().expect("a time")),
    });
    let failure = case.failure();
    assert_eq!(failure.kind, FailureKind::Image);
    assert_eq!(
        failure.message,
        "image \"ghcr.io/acme/github:9\" cannot be pulled (manifest unknown)"
    );
    assert_eq!(
        failure.detail[0],
        "deployment ns/mcp-a, pod mcp-a-1; last event 12 s ago"
    );
    assert!(failure.remedy.is_some());
}

#[test]
fn pull_back_off_uses_event() {
    let mut case = Case::of(vec![waiting("ImagePullBackOff", "Back-off pulling image \"x\"")]);
    case.warnings[0].push(PodWarning {
        reason: "Failed".into(),
        message: "Failed to pull image \"x\": denied: requested access".into(),
        at: None,
    });
    assert!(
        case.failure().message.ends_with("(requested access)"),
        "{:?}",
        case.failure()
    );
}

#[test]
fn waiting_reasons_map_to_kinds() {
    let cases = [
        ("ErrImageNeverPull", FailureKind::Image),
        ("InvalidImageName", FailureKind::Image),
        ("CreateContainerConfigError", FailureKind::Config),
        ("CreateContainerError", FailureKind::Start),
        ("RunContainerError", FailureKind::Start),
    ];
    for (reason, cause) in cases {
        assert_eq!(Case::of(vec![waiting(reason, "why")]).failure().kind, cause, "{reason}");
    }
    let making = Case::of(vec![waiting("ContainerCreating", "")]).assess().status;
    assert!(matches!(making, Status::Pending { cause: Some(_) }), "{making}");
}

#[test]
fn second_exit_is_a_crash_loop() {
    let once = Case::of(vec![pod(container(ended(1, "Error"), json!({}), 0))]);
    let status = once.assess().status;
    assert!(
        matches!(&status, Status::Restarting { failure } if failure.kind == FailureKind::Exited),
        "{status}"
    );

    let back_off = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
    let mut again = Case::of(vec![pod(container(back_off, ended(137, "OOMKilled"), 1))]);
    let assessment = again.assess();
    assert!(
        matches!(assessment.status, Status::Restarting { .. }),
        "it waits for the last words: {}",
        assessment.status
    );
    again.last_lines = Some((assessment.crash.expect("a crash"), vec!["out of heap".into()]));
    let failure = again.failure();
    assert_eq!(failure.kind, FailureKind::CrashLoop);
    assert!(failure.message.contains("exceeded its memory limit"), "{failure}");
    assert_eq!(failure.detail.last().map(String::as_str), Some("│ out of heap"));
}

#[test]
fn crash_loop_outlasts_young_run() {
    let running = json!({ "running": { "startedAt": "2026-01-01T00:09:55Z" } });
    let mut case = Case::of(vec![pod(container(running, ended(1, "Error"), 2))]);
    let crash = case.assess().crash.expect("a crash");
    case.last_lines = Some((crash, Vec::new()));
    assert_eq!(case.failure().kind, FailureKind::CrashLoop);
}

#[test]
fn missing_program_is_a_start_failure() {
    let back_off = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
    assert_eq!(
        Case::of(vec![pod(container(back_off, ended(128, "StartError"), 1))])
            .failure()
            .kind,
        FailureKind::Start
    );
}

#[test]
fn unschedulable_after_delay() {
    let at = |at: &str| {
        let mut pod = waiting("x", "");
        pod["status"]["containerStatuses"] = json!([]);
        pod["status"]["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": at,
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }]);
        Case::of(vec![pod])
    };
    let young = at("2026-01-01T00:09:57Z").assess();
    assert!(
        matches!(young.status, Status::Pending { cause: Some(_) }),
        "{}",
        young.status
    );
    assert_eq!(young.recheck_after, Some(Duration::from_secs(2)));
    assert_eq!(at("2026-01-01T00:09:50Z").failure().kind, FailureKind::Unschedulable);
}

#[test]
fn mount_failure_from_event() {
    let mut case = Case::of(vec![waiting("ContainerCreating", "")]);
    case.warnings[0].push(PodWarning {
        reason: "FailedMount".into(),
        message: "MountVolume.SetUp failed for volume \"s\" : secret \"s\" not found".into(),
        at: None,
    });
    assert_eq!(case.failure().kind, FailureKind::Mount);
}

#[test]
fn rejected_pods_fail() {
    let mut case = Case::of(Vec::new());
    let says = |message: &str| {
        json!({ "observedGeneration": 1, "conditions": [
            { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message },
        ] })
    };
    case.deployment["status"] = says("pods \"a\" is forbidden: exceeded quota: small, requested: cpu=1");
    assert_eq!(case.failure().kind, FailureKind::Quota);
    case.deployment["status"] = says("pods \"a\" is forbidden: violates PodSecurity");
    assert_eq!(case.failure().kind, FailureKind::Config);
}

#[test]
fn zero_replicas_with_annotation_is_asleep() {
    let mut case = Case::of(Vec::new());
    case.deployment["spec"]["replicas"] = json!(0);
    assert_eq!(case.failure().kind, FailureKind::Stopped);
    case.deployment["metadata"]["annotations"] = json!({ "portolan.dev/asleep": "1" });
    assert_eq!(case.assess().status, Status::Asleep);
    case.deployment["spec"]["replicas"] = json!(1);
    assert_eq!(
        case.assess().status,
        Status::Pending { cause: None },
        "somebody scaled it up"
    );
}

#[test]
fn not_ready_again_is_waking_or_restarting() {
    let mut case = Case::of(vec![waiting("ContainerCreating", "")]);
    case.was_ready = true;
    assert!(matches!(case.assess().status, Status::Restarting { .. }));
    case.waking = true;
    assert_eq!(case.assess().status, Status::Waking);
}

#[test]
fn terminating_pod_is_ignored() {
    let mut leaving = ready();
    leaving["metadata"]["deletionTimestamp"] = json!(NOW);
    assert_eq!(Case::of(vec![leaving]).assess().status, Status::Pending { cause: None });
}

#[test]
fn write_failure_until_written() {
    let mut case = Case::of(Vec::new());
    case.written = false;
    case.write_failure = Some(Failure::new(FailureKind::Connection, "cannot reach Kubernetes"));
    assert!(matches!(case.assess().status, Status::Pending { cause: Some(_) }));
    case.write_failure = Some(Failure::new(FailureKind::Quota, "used up"));
    assert_eq!(case.failure().kind, FailureKind::Quota);
}
