//! How a deployment is, from what the cluster tells about it. No I/O, no clock: facts in, status out.

mod container;
mod pod;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, DeploymentCondition},
    core::v1::Pod,
};
use portolan_core::{Failure, FailureKind, Status};

use crate::{annotations, object_cache::PodWarning, render::api_compat};

/// What is known about a deployment.
#[derive(Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) now: Timestamp,
    /// The template that is wanted: what its pods are marked with.
    pub(crate) template: &'a str,
    pub(crate) deployment: Option<&'a Deployment>,
    /// Its pods, newest first.
    pub(crate) pods: &'a [Arc<Pod>],
    /// Warnings about the pods, by their place in `pods`.
    pub(crate) warnings: &'a [Vec<PodWarning>],
    /// Why what is wanted could not be written, if so.
    pub(crate) write_failure: Option<&'a Failure>,
    /// Whether what is wanted has been written.
    pub(crate) written: bool,
    /// Whether this wish was ready before.
    pub(crate) was_ready: bool,
    /// Whether it was woken and not ready since.
    pub(crate) waking: bool,
    /// The last lines of the run that crashed, once they were read.
    pub(crate) last_lines: Option<(&'a CrashedRun, &'a [String])>,
}

/// What follows from [`Observation`].
#[derive(Debug)]
pub(crate) struct Assessment {
    pub(crate) status: Status,
    /// When time alone may change it.
    pub(crate) recheck_after: Option<Duration>,
    /// The run whose last lines would say more.
    pub(crate) crash: Option<CrashedRun>,
}

/// A run that ended, by which its last lines are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CrashedRun {
    pub(crate) pod: String,
    pub(crate) container: String,
    /// Whether another run has begun since.
    pub(crate) previous: bool,
    /// Which run it was.
    pub(crate) restarts: i32,
}

/// How one pod is, or a whole deployment by its worst pod.
#[derive(Debug)]
enum PodState {
    /// It can be called.
    Ready,
    /// It waits, and that is normal; for what, and when to look again.
    Waiting(Option<String>, Option<Duration>),
    /// It ended once and starts again.
    Exited(Failure, Option<CrashedRun>),
    /// Waiting alone will not mend it.
    Failed(Failure, Option<CrashedRun>),
}

/// Finds how it is.
pub(crate) fn assess(observation: &Observation<'_>) -> Assessment {
    let mut assessment = Assessment {
        status: Status::Pending { cause: None },
        recheck_after: None,
        crash: None,
    };
    if let Some(status) = before_pods(observation) {
        assessment.status = status;
        return assessment;
    }
    match state(observation) {
        PodState::Ready => assessment.status = Status::Ready,
        PodState::Failed(failure, crash) => {
            assessment.crash.clone_from(&crash);
            assessment.status = tell_crash(observation, failure, crash.as_ref());
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
                let text = cause.unwrap_or_else(|| "its pod went away; another one is starting".into());
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

/// What can be said without looking at pods.
fn before_pods(observation: &Observation<'_>) -> Option<Status> {
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
        Failure::new(FailureKind::Stopped, "somebody else scaled it to zero")
            .remedy("scale it up again, or restart it")
            .detail(location(deployment))
    };
    Some(match annotations::replicas_before_sleep(&deployment.metadata) {
        Some(_) => Status::Asleep,
        None => Status::Failed { failure: failure() },
    })
}

/// The best of the pods of the wanted template counts: while one can be called, the deployment can.
fn state(observation: &Observation<'_>) -> PodState {
    let states: Vec<PodState> = alive(observation)
        .filter(|(_, pod)| annotations::template_hash(&pod.metadata) == Some(observation.template))
        .map(|(location, pod)| pod::state(observation, pod, &observation.warnings[location]))
        .collect();
    let refused = observation.deployment.and_then(refused_pods);
    if states.is_empty()
        && let Some(failure) = refused
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

/// Whether pods cannot even be made.
fn refused_pods(deployment: &Deployment) -> Option<Failure> {
    let status = deployment.status.as_ref()?;
    if status.observed_generation < deployment.metadata.generation {
        return None;
    }
    // Both are optional in some versions of the API.
    let says = |c: &&DeploymentCondition| {
        let (kind, status): (Option<&String>, Option<&String>) = ((&c.type_).into(), (&c.status).into());
        kind.is_some_and(|kind| kind == "ReplicaFailure") && status.is_some_and(|status| status == "True")
    };
    let condition = status.conditions.as_ref()?.iter().find(says)?;
    let message = condition.message.as_deref().unwrap_or_default();
    let failure = if message.contains("exceeded quota") {
        let quota = message
            .split_once("exceeded quota: ")
            .map_or(message, |(_, quota)| quota);
        Failure::new(
            FailureKind::Quota,
            format!("the quota of the namespace is used up: {quota}"),
        )
        .remedy("raise the quota of the namespace, or lower the requests of the server")
    } else {
        Failure::new(FailureKind::Config, format!("its pod is refused: {message}"))
    };
    Some(failure.detail(location(deployment)))
}

/// Waits for the last lines of a crash, so that who is told of the failure is told these too.
fn tell_crash(observation: &Observation<'_>, failure: Failure, crash: Option<&CrashedRun>) -> Status {
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

/// The pods that can be called, newest first. They may be of the template before the wanted one: it goes on answering
/// until the new one can.
pub(crate) fn callable(pods: &[Arc<Pod>]) -> impl Iterator<Item = &Arc<Pod>> {
    pods.iter().filter(|pod| is_alive(pod) && pod::is_ready(pod))
}

fn alive<'a>(observation: &'a Observation<'_>) -> impl Iterator<Item = (usize, &'a Arc<Pod>)> {
    observation.pods.iter().enumerate().filter(|(_, pod)| is_alive(pod))
}

/// A pod on its way out counts for nothing, and neither does one that was evicted and is kept for its record.
fn is_alive(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Failed" | "Succeeded"))
}

pub(crate) fn wanted_replicas(deployment: &Deployment) -> i32 {
    api_compat::spec(deployment).and_then(|spec| spec.replicas).unwrap_or(1)
}

/// Where it is, as a line of detail.
pub(crate) fn location(deployment: &Deployment) -> String {
    let meta = &deployment.metadata;
    format!(
        "deployment {}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    )
}
