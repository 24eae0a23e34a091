//! Failures of the containers of a pod.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod};
use portolan_core::{Failure, FailureKind};

use super::{CrashedRun, Observation, PodState};
use crate::object_cache::PodWarning;

/// Two exits within this time are a crash loop; after it, the kubelet resets its back-off too.
const CRASH_LOOP_WINDOW: Duration = Duration::from_secs(600);

/// How long a container that crashed twice must run to count as recovered.
const RECOVERY_PERIOD: Duration = Duration::from_secs(10);

/// Returns the state of the first container that failed, init containers first.
pub(super) fn failure(observation: &Observation<'_>, pod: &Pod, warnings: &[PodWarning]) -> Option<PodState> {
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let all = init.chain(status.container_statuses.iter().flatten());
    all.filter_map(|container| container_state(observation, pod, container, warnings))
        .next()
}

fn container_state(
    observation: &Observation<'_>,
    pod: &Pod,
    container: &ContainerStatus,
    warnings: &[PodWarning],
) -> Option<PodState> {
    let state = container.state.as_ref()?;
    let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    if let Some(waiting) = &state.waiting {
        return waiting_state(observation, pod, container, waiting, last, warnings);
    }
    if let Some(ended) = &state.terminated {
        // An init container that completed.
        if ended.exit_code == 0 && is_init(pod, container) {
            return None;
        }
        let is_loop = last.is_some_and(|last| is_recent(observation, last));
        return Some(exited_state(observation, pod, container, ended, is_loop, false));
    }
    let running = state.running.as_ref()?;
    let since = running.started_at.as_ref().map_or(observation.now, |time| time.0);
    let last = last.filter(|last| container.restart_count >= 2 && is_recent(observation, last))?;
    let has_recovered = container.ready && age(observation.now, since) > RECOVERY_PERIOD;
    (!has_recovered).then(|| exited_state(observation, pod, container, last, true, true))
}

fn waiting_state(
    observation: &Observation<'_>,
    pod: &Pod,
    container: &ContainerStatus,
    waiting: &ContainerStateWaiting,
    last: Option<&ContainerStateTerminated>,
    warnings: &[PodWarning],
) -> Option<PodState> {
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = waiting.message.as_deref().unwrap_or_default();
    let failure = match reason {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ErrImageNeverPull"
        | "InvalidImageName"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => image_failure(pod, container, reason, message, warnings),
        "CreateContainerConfigError" => config_failure(message),
        "CreateContainerError" | "RunContainerError" => start_failure(message),
        "CrashLoopBackOff" => {
            let Some(last) = last else {
                let failure = Failure::new(FailureKind::CrashLoop, "it exits again and again");
                return Some(PodState::Failed(with_location(observation, pod, failure, None), None));
            };
            return Some(exited_state(observation, pod, container, last, true, true));
        }
        _ => return None,
    };
    let at = warnings.iter().filter_map(|warning| warning.at).max();
    Some(PodState::Failed(with_location(observation, pod, failure, at), None))
}

fn image_failure(
    pod: &Pod,
    container: &ContainerStatus,
    reason: &str,
    message: &str,
    warnings: &[PodWarning],
) -> Failure {
    let of_spec = pod
        .spec
        .iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
        .find(|spec| spec.name == container.name)
        .and_then(|spec| spec.image.as_deref());
    let image = of_spec.unwrap_or(&container.image);
    // During the back-off, older kubelets report only that; the event has the cause.
    let event = warnings
        .iter()
        .rev()
        .find(|warning| warning.message.starts_with("Failed to pull image"));
    let full = match event {
        Some(event) if !message.contains(": ") => &event.message,
        _ => message,
    };
    let why = match reason {
        "ErrImageNeverPull" => "it is not on the node, and its pull policy is Never".to_owned(),
        "InvalidImageName" => "its name is invalid".to_owned(),
        _ => root_cause(full),
    };
    Failure::new(FailureKind::Image, format!("image {image:?} cannot be pulled ({why})"))
        .remedy("fix the tag, or add pull credentials: KubernetesOptions::image_pull_secrets")
        .detail(full.to_owned())
}

fn config_failure(message: &str) -> Failure {
    Failure::new(
        FailureKind::Config,
        format!("its configuration is incomplete: {message}"),
    )
    .remedy("create the missing object in the namespace; it then starts by itself")
}

fn start_failure(message: &str) -> Failure {
    Failure::new(
        FailureKind::Start,
        format!("its program cannot be started: {}", root_cause(message)),
    )
    .remedy("check that the image contains the command, and check its arguments")
    .detail(message.to_owned())
}

/// Returns the state after a run ended: once, or in a loop.
fn exited_state(
    observation: &Observation<'_>,
    pod: &Pod,
    container: &ContainerStatus,
    ended: &ContainerStateTerminated,
    is_loop: bool,
    previous: bool,
) -> PodState {
    let at = ended.finished_at.as_ref().map(|time| time.0);
    let reason = ended.reason.as_deref().unwrap_or_default();
    if matches!(reason, "StartError" | "ContainerCannotRun") {
        let failure = start_failure(ended.message.as_deref().unwrap_or_default());
        return PodState::Failed(with_location(observation, pod, failure, at), None);
    }
    let how = match (reason, ended.signal) {
        ("OOMKilled", _) => "it was killed because it exceeded its memory limit".to_owned(),
        (_, Some(signal)) if signal > 0 => format!("it was killed by signal {signal}"),
        _ => format!("it exited with code {}", ended.exit_code),
    };
    let crash = CrashedRun {
        pod: pod.metadata.name.clone().unwrap_or_default(),
        container: container.name.clone(),
        previous,
        restarts: container.restart_count,
    };
    let (kind, message) = if is_loop {
        (FailureKind::CrashLoop, format!("it exits again and again: {how}"))
    } else {
        (FailureKind::Exited, how)
    };
    let mut failure = Failure::new(kind, message);
    if reason == "OOMKilled" {
        failure = failure.remedy("raise the memory limit: KubernetesOptions::limits");
    }
    let failure = with_location(observation, pod, failure, at);
    if is_loop {
        PodState::Failed(failure, Some(crash))
    } else {
        PodState::Exited(failure, Some(crash))
    }
}

/// Adds the location to a failure, as the first line of detail.
pub(super) fn with_location(
    observation: &Observation<'_>,
    pod: &Pod,
    failure: Failure,
    at: Option<Timestamp>,
) -> Failure {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let location = observation.deployment.map(super::location).unwrap_or_default();
    let line = match at {
        Some(at) => format!(
            "{location}, pod {name}; last event {} s ago",
            age(observation.now, at).as_secs()
        ),
        None => format!("{location}, pod {name}"),
    };
    let mut failure = failure;
    failure.detail.insert(0, line);
    failure
}

/// Returns the root cause in a message: container runtimes chain causes, outermost first.
pub(super) fn root_cause(message: &str) -> String {
    let core = message
        .rsplit(": ")
        .find(|part| !part.trim().is_empty())
        .unwrap_or(message)
        .trim();
    core.chars().take(200).collect()
}

pub(super) fn age(now: Timestamp, then: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

fn is_recent(observation: &Observation<'_>, ended: &ContainerStateTerminated) -> bool {
    ended
        .finished_at
        .as_ref()
        .is_some_and(|at| age(observation.now, at.0) < CRASH_LOOP_WINDOW)
}

fn is_init(pod: &Pod, container: &ContainerStatus) -> bool {
    let init = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    init.into_iter().any(|spec| spec.name == container.name)
}
