//! Whether a server can be reached, as the last request to it showed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use portolan_core::{Error, Failure, FailureKind, Result, ServerName};

/// Called when a server can no longer be reached, and when it can be reached again.
pub type ReachabilityHook = Arc<dyn Fn(&ReachabilityChange<'_>) + Send + Sync>;

/// A server that can no longer be reached, or that can be reached again.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ReachabilityChange<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The reason why it cannot be reached; `None` if it can be reached again.
    pub failure: Option<&'a Failure>,
}

/// The last known state of one server.
#[derive(Debug, Default)]
pub(crate) struct Reachability {
    is_lost: AtomicBool,
}

impl Reachability {
    /// Notes how a request ended, and calls `hook` if that is a change. Errors that do not tell change nothing.
    pub(crate) fn note<T>(&self, server: &ServerName, outcome: &Result<T>, hook: Option<&ReachabilityHook>) {
        let failure = match outcome {
            Ok(_) => None,
            Err(Error::NotReady { failure, .. }) if is_unreachable(failure.kind) => Some(failure),
            Err(_) => return,
        };
        let is_lost = failure.is_some();
        // The state seldom changes, and to read it is cheaper than to write it.
        if self.is_lost.load(Ordering::Relaxed) == is_lost || self.is_lost.swap(is_lost, Ordering::Relaxed) == is_lost {
            return;
        }
        if let Some(hook) = hook {
            hook(&ReachabilityChange { server, failure });
        }
    }
}

/// A server that refuses a credential or breaks the protocol was reached; one that sleeps or starts is not lost.
fn is_unreachable(kind: FailureKind) -> bool {
    !matches!(
        kind,
        FailureKind::Credential | FailureKind::Protocol | FailureKind::Config | FailureKind::Starting
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn only_changes_are_told() {
        let told: Arc<Mutex<Vec<bool>>> = Arc::default();
        let log = told.clone();
        let hook: ReachabilityHook = Arc::new(move |change| log.lock().unwrap().push(change.failure.is_some()));
        let (state, server) = (Reachability::default(), ServerName::parse("up").unwrap());
        let note = |outcome: Result<()>| state.note(&server, &outcome, Some(&hook));
        let failed = |kind| {
            Err(Error::NotReady {
                what: "server",
                name: "up".into(),
                failure: Failure::new(kind, "it failed"),
            })
        };
        note(Ok(()));
        note(failed(FailureKind::Credential));
        note(failed(FailureKind::Starting));
        assert!(told.lock().unwrap().is_empty());
        note(failed(FailureKind::Connection));
        note(failed(FailureKind::Exited));
        note(failed(FailureKind::Starting));
        note(Ok(()));
        note(Ok(()));
        assert_eq!(*told.lock().unwrap(), [true, false]);
    }
}
