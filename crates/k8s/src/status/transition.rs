//! From one published status to the next.

use portolan_core::{Failure, FailureKind, Status};

/// Returns `old` if `new` is the same failure: the age of its last event is published once, not anew with each look.
pub(crate) fn keep_unchanged_failure(old: Option<&Status>, new: Status) -> Status {
    let failure = |status: &Status| match status {
        Status::Failed { failure } => Some((true, failure.clone())),
        Status::Restarting { failure } => Some((false, failure.clone())),
        _ => None,
    };
    let (Some(old), Some((failed, now))) = (old, failure(&new)) else {
        return new;
    };
    match failure(old) {
        Some((was_failed, before))
            if was_failed == failed
                && before.kind == now.kind
                && before.message == now.message
                && before.detail.len() == now.detail.len() =>
        {
            old.clone()
        }
        _ => new,
    }
}

/// Returns why a deployment with this status cannot be called.
pub(crate) fn unavailable_failure(status: &Status) -> Failure {
    match status {
        Status::Failed { failure } | Status::Restarting { failure } => failure.clone(),
        Status::Asleep => starting("it is asleep"),
        Status::Waking => starting("it is waking up"),
        Status::Pending { cause: Some(cause) } => starting(format!("it is still starting: {cause}")),
        Status::Removed => Failure::new(FailureKind::Stopped, "it was removed"),
        _ => starting("it is still starting"),
    }
}

/// Returns the failure of a deployment that cannot be called yet.
pub(crate) fn starting(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Starting, message)
}
