//! The state of one pod.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCondition};
use portolan_core::{Failure, FailureKind};

use super::{Observation, PodState, container};
use crate::object_cache::PodWarning;

/// How long a pod may be unschedulable before that is a failure: longer than terminating pods need, shorter than adding a node.
const UNSCHEDULABLE_DELAY: Duration = Duration::from_secs(5);

/// How long a mount may fail before that is a failure: the first attempt often precedes the Secret.
const MOUNT_FAILURE_DELAY: Duration = Duration::from_secs(5);

/// How long a container without a readiness probe must run to be ready: one that ends at once never was.
const MIN_RUNNING: Duration = Duration::from_secs(1);

/// Derives the state of a pod.
pub(super) fn state(observation: &Observation<'_>, pod: &Pod, warnings: &[PodWarning]) -> PodState {
    if let Some(state) = scheduling_state(observation, pod) {
        return state;
    }
    if let Some(state) = container::failure(observation, pod, warnings) {
        return state;
    }
    if is_ready(pod) {
        return running_state(observation, pod);
    }
    mount_state(observation, pod, warnings).unwrap_or_else(|| PodState::Waiting(waiting_reason(pod), None))
}

/// Returns whether the cluster reports it as ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

fn running_state(observation: &Observation<'_>, pod: &Pod) -> PodState {
    let probed = pod
        .spec
        .iter()
        .flat_map(|spec| &spec.containers)
        .any(|container| container.readiness_probe.is_some());
    let since = condition(pod, "Ready").and_then(|condition| condition.last_transition_time.as_ref());
    let age = since.map_or(MIN_RUNNING, |since| container::age(observation.now, since.0));
    // Kubernetes writes whole seconds: a difference of one may be a moment.
    if probed || age > MIN_RUNNING {
        PodState::Ready
    } else {
        PodState::Waiting(None, Some(MIN_RUNNING * 2 - age))
    }
}

fn scheduling_state(observation: &Observation<'_>, pod: &Pod) -> Option<PodState> {
    let condition = condition(pod, "PodScheduled").filter(|condition| condition.status == "False")?;
    let message = condition.message.as_deref().unwrap_or("no node fits");
    let since = condition
        .last_transition_time
        .as_ref()
        .map_or(observation.now, |time| time.0);
    let age = container::age(observation.now, since);
    if condition.reason.as_deref() != Some("Unschedulable") || age < UNSCHEDULABLE_DELAY {
        let cause = format!("no node has room yet: {message}");
        return Some(PodState::Waiting(
            Some(cause),
            Some(UNSCHEDULABLE_DELAY.saturating_sub(age)),
        ));
    }
    let failure = Failure::new(
        FailureKind::Unschedulable,
        format!("no node has room for it: {message}"),
    )
    .remedy("add a node, lower the requests of the server, or change its node selector; it then starts by itself");
    Some(PodState::Failed(
        container::with_location(observation, pod, failure, Some(since)),
        None,
    ))
}

/// Derives the state from failed mounts, which only events report.
fn mount_state(observation: &Observation<'_>, pod: &Pod, warnings: &[PodWarning]) -> Option<PodState> {
    let is_mount = |warning: &&PodWarning| matches!(&*warning.reason, "FailedMount" | "FailedAttachVolume");
    let warning = warnings.iter().rev().find(is_mount)?;
    let created = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(observation.now, |time| time.0);
    let age = container::age(observation.now, created);
    if age < MOUNT_FAILURE_DELAY {
        return Some(PodState::Waiting(
            Some(warning.message.clone()),
            Some(MOUNT_FAILURE_DELAY - age),
        ));
    }
    let message = format!(
        "a volume cannot be mounted: {}",
        container::root_cause(&warning.message)
    );
    let failure = Failure::new(FailureKind::Mount, message)
        .remedy("create the missing object in the namespace; it then starts by itself")
        .detail(warning.message.clone());
    Some(PodState::Failed(
        container::with_location(observation, pod, failure, warning.at),
        None,
    ))
}

fn waiting_reason(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .flatten();
    for container in all {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        if let Some(reason) = waiting.and_then(|waiting| waiting.reason.as_deref()) {
            return (reason != "PodInitializing").then(|| description(reason).to_owned());
        }
    }
    None
}

fn description(reason: &str) -> &str {
    match reason {
        "ContainerCreating" => "its container is being created",
        other => other,
    }
}

fn condition<'a>(pod: &'a Pod, kind: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == kind)
}
