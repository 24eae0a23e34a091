//! The status of a deployment, derived from observed objects. No I/O and no clock.

mod container;
mod pod;
#[cfg(test)]
mod tests;
mod transition;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentCondition},
    core::v1::Pod,
};
use portolan_core::{Failure, FailureKind, Status};

pub(crate) use transition::{keep_unchanged_failure, starting, unavailable_failure};

use crate::{annotations, api_compat, object_cache::PodWarning};

/// The observed objects of a deployment.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) now: Timestamp,
    /// The template hash of the wanted pods.
    pub(crate) template: &'a str,
    pub(crate) deployment: Option<&'a Deployment>,
    /// The pods, newest first.
    pub(crate) pods: &'a [Arc<Pod>],
    /// Warnings about the pods, by their place in `pods`.
    pub(crate) warnings: &'a [Vec<PodWarning>],
    /// Why the last write failed.
    pub(crate) write_failure: Option<&'a Failure>,
    /// Whether the desired spec is written.
    pub(crate) written: bool,
    /// Whether the desired spec was ready before.
    pub(crate) was_ready: bool,
    /// Whether it was woken and has not been ready since.
    pub(crate) waking: bool,
    /// The last log lines of the crashed run, once they were read.
    pub(crate) last_lines: Option<(&'a CrashedRun, &'a [String])>,
}

/// The result of [`assess`].
#[derive(Debug)]
pub(crate) struct Assessment {
    pub(crate) status: Status,
    /// When time alone may change the status.
    pub(crate) recheck_after: Option<Duration>,
    /// The crashed run whose log should be read.
    pub(crate) crash: Option<CrashedRun>,
}

/// A run of a container that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrashedRun {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Whether a later run has begun.
    pub(crate) previous: bool,
    /// The number of the run.
    pub(crate) restarts: i32,
}

/// The state of one pod, or of a deployment by its best pod.
#[derive(Debug)]
enum PodState {
    /// It can be called.
    Ready,
    /// It waits as expected: the reason, and when to look again.
    Waiting(Option<String>, Option<Duration>),
    /// It ended once and is restarted.
    Exited(Failure, Option<CrashedRun>),
    /// It will not recover by waiting alone.
    Failed(Failure, Option<CrashedRun>),
}

/// Derives the status of a deployment.
pub(crate) fn assess(observation: &Observation<'_>) -> Assessment {
    let mut assessment = Assessment {
        status: Status::Pending { cause: None },
        recheck_after: None,
        crash: None,
    };
    if let Some(status) = status_without_pods(observation) {
        assessment.status = status;
        return assessment;
    }
    match best_state(observation) {
        PodState::Ready => assessment.status = Status::Ready,
        PodState::Failed(failure, crash) => {
            assessment.crash.clone_from(&crash);
            assessment.status = with_crash_log(observation, failure, crash.as_ref());
        }
        PodState::Exited(failure, crash) => {
            assessment.crash = crash;
            assessment.status = Status::Restarting { failure };
        }
        PodState::Waiting(cause, recheck_after) => {
            assessment.recheck_after = recheck_after;
            assessment.status = if observation.waking {
                Status::Waking
            } else if observation.was_ready {
                let text = cause.unwrap_or_else(|| "its pod is gone; another one is starting".into());
                Status::Restarting {
                    failure: Failure::new(FailureKind::Starting, text),
                }
            } else {
                Status::Pending { cause }
            };
        }
    }
    assessment
}

/// Returns the status that does not depend on pods, if there is one.
fn status_without_pods(observation: &Observation<'_>) -> Option<Status> {
    if let Some(write_failure) = observation.write_failure.filter(|_| !observation.written) {
        let waits = write_failure.kind == FailureKind::Connection;
        return Some(if waits {
            Status::Pending {
                cause: Some(write_failure.message.clone()),
            }
        } else {
            Status::Failed {
                failure: write_failure.clone(),
            }
        });
    }
    let Some(deployment) = observation.deployment.filter(|_| observation.written) else {
        return Some(Status::Pending { cause: None });
    };
    if wanted_replicas(deployment) > 0 {
        return None;
    }
    let failure = || {
        Failure::new(FailureKind::Stopped, "someone else scaled it to zero")
            .remedy("scale it up again, or restart it")
            .detail(location(deployment))
    };
    Some(match annotations::replicas_before_sleep(&deployment.metadata) {
        Some(_) => Status::Asleep,
        None => Status::Failed { failure: failure() },
    })
}

/// Returns the state of the best pod with the wanted template: while one can be called, the deployment can.
fn best_state(observation: &Observation<'_>) -> PodState {
    let states: Vec<PodState> = alive(observation)
        .filter(|(_, pod)| annotations::template_hash(&pod.metadata) == Some(observation.template))
        .map(|(location, pod)| pod::state(observation, pod, &observation.warnings[location]))
        .collect();
    let rejected = observation.deployment.and_then(rejected_pods);
    if states.is_empty()
        && let Some(failure) = rejected
    {
        return PodState::Failed(failure, None);
    }
    let rank = |state: &PodState| match state {
        PodState::Ready => 0,
        PodState::Failed(..) => 1,
        PodState::Exited(..) => 2,
        PodState::Waiting(..) => 3,
    };
    states
        .into_iter()
        .min_by_key(rank)
        .unwrap_or(PodState::Waiting(None, None))
}

/// Returns why pods cannot be created.
fn rejected_pods(deployment: &Deployment) -> Option<Failure> {
    let status = deployment.status.as_ref()?;
    if status.observed_generation < deployment.metadata.generation {
        return None;
    }
    // Both fields are optional in some versions of the API.
    let is_failure = |c: &&DeploymentCondition| {
        let (kind, status): (Option<&String>, Option<&String>) = ((&c.type_).into(), (&c.status).into());
        kind.is_some_and(|kind| kind == "ReplicaFailure") && status.is_some_and(|status| status == "True")
    };
    let condition = status.conditions.as_ref()?.iter().find(is_failure)?;
    let message = condition.message.as_deref().unwrap_or_default();
    let failure = if message.contains("exceeded quota") {
        let quota = message
            .split_once("exceeded quota: ")
            .map_or(message, |(_, quota)| quota);
        Failure::new(
            FailureKind::Quota,
            format!("the quota of the namespace is exceeded: {quota}"),
        )
        .remedy("raise the quota of the namespace, or lower the requests of the server")
    } else {
        Failure::new(FailureKind::Config, format!("the cluster rejects its pod: {message}"))
    };
    Some(failure.detail(location(deployment)))
}

/// Adds the last log lines to the failure. Until they were read, the status is `Restarting`, so that the failure is published
/// with them.
fn with_crash_log(observation: &Observation<'_>, failure: Failure, crash: Option<&CrashedRun>) -> Status {
    let Some(crash) = crash else {
        return Status::Failed { failure };
    };
    match observation.last_lines {
        Some((of, lines)) if of.pod == crash.pod => Status::Failed {
            failure: lines
                .iter()
                .fold(failure, |failure, line| failure.detail(format!("│ {line}"))),
        },
        _ => Status::Restarting { failure },
    }
}

/// Iterates over the pods that can be called, newest first. Pods of the previous template are among them, until one of the
/// wanted template is ready.
pub(crate) fn callable(pods: &[Arc<Pod>]) -> impl Iterator<Item = &Arc<Pod>> {
    pods.iter().filter(|pod| is_alive(pod) && pod::is_ready(pod))
}

fn alive<'a>(observation: &'a Observation<'_>) -> impl Iterator<Item = (usize, &'a Arc<Pod>)> {
    observation.pods.iter().enumerate().filter(|(_, pod)| is_alive(pod))
}

/// Returns whether a pod counts: it is neither terminating nor evicted or completed.
fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

/// Returns the wanted number of replicas.
pub(crate) fn wanted_replicas(deployment: &Deployment) -> i32 {
    api_compat::spec(deployment).and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Formats the namespace and name of a Deployment, as a line of detail.
pub(crate) fn location(deployment: &Deployment) -> String {
    let meta = &deployment.metadata;
    format!(
        "deployment {}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    )
}
