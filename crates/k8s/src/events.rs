//! The tracing events of deployments. The crate's documentation lists them, so their messages, levels and fields are part of
//! the interface.

use portolan_core::{Failure, InstallName, Status};

/// The target of all events.
const TARGET: &str = "portolan_k8s";

/// The fields that name a deployment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) install: &'a InstallName,
    /// The name of the Deployment.
    pub(crate) deployment: &'a str,
    pub(crate) namespace: &'a str,
}

/// Reports that objects of a deployment were written.
pub(crate) fn applied(subject: Subject<'_>, reason: &str) {
    let Subject {
        install,
        deployment,
        namespace,
    } = subject;
    tracing::info!(target: TARGET, %install, deployment, namespace, reason, "deployment applied");
}

/// Reports a change of status. Statuses that only lead to another one (pending, restarting, waking) have no event.
pub(crate) fn status_changed(subject: Subject<'_>, old: Option<&Status>, new: &Status) {
    let Subject {
        install,
        deployment,
        namespace,
    } = subject;
    match (old, new) {
        (Some(Status::Ready), Status::Ready) | (Some(Status::Asleep), Status::Asleep) => {}
        (old, Status::Ready) => {
            let reason = reason_of_ready(old);
            tracing::info!(target: TARGET, %install, deployment, namespace, reason, "deployment ready");
        }
        (_, Status::Asleep) => {
            tracing::info!(target: TARGET, %install, deployment, namespace, reason = "idle", "deployment scaled to zero");
        }
        (Some(Status::Failed { failure: old }), Status::Failed { failure }) if is_same(old, failure) => {}
        (_, Status::Failed { failure }) => {
            let (kind, reason) = (failure.kind, failure.message.as_str());
            tracing::warn!(target: TARGET, %install, deployment, namespace, ?kind, reason, "deployment failed");
        }
        (old, Status::Removed) if old.is_some() => {
            tracing::info!(target: TARGET, %install, deployment, namespace, reason = "removed", "deployment gone");
        }
        _ => {}
    }
}

fn reason_of_ready(old: Option<&Status>) -> &'static str {
    match old {
        None => "found running",
        Some(Status::Restarting { .. }) => "restarted",
        Some(Status::Asleep | Status::Waking) => "woken",
        Some(Status::Failed { .. }) => "recovered",
        Some(_) => "started",
    }
}

fn is_same(old: &Failure, new: &Failure) -> bool {
    old.kind == new.kind && old.message == new.message
}

/// Reports that the API server could not be reached for a write. It is retried.
pub(crate) fn apply_interrupted(subject: Subject<'_>, reason: &str) {
    let Subject {
        install,
        deployment,
        namespace,
    } = subject;
    tracing::warn!(target: TARGET, %install, deployment, namespace, reason, "apply interrupted");
}

/// Reports that a watch broke. It is retried.
pub(crate) fn watch_broke(namespace: &str, kind: &str, reason: &str) {
    tracing::warn!(target: TARGET, namespace, kind, reason, "watch broke");
}

/// Reports that the service account lacks a permission.
pub(crate) fn forbidden(namespace: &str, reason: &str) {
    tracing::error!(target: TARGET, namespace, reason, "forbidden");
}

/// Reports that keys could not be read again. The known ones stay in use.
pub(crate) fn keys_not_read(namespace: &str, secret: &str, reason: &str) {
    tracing::warn!(target: TARGET, namespace, secret, reason, "keys not read");
}
