//! What a server says of a task.

use std::time::Duration;

use bytes::Bytes;
use portolan_wire::{
    envelope::Outcome,
    object::{self, RawObject},
};

/// A task, as its server told of it last.
#[derive(Clone, Debug)]
pub(crate) struct TaskState {
    pub(super) status: TaskStatus,
    /// A word about it for people.
    pub(super) message: Option<String>,
    /// How long it is to be left alone before it is asked for again.
    pub(super) interval: Option<Duration>,
    /// All of it.
    members: RawObject,
}

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskStatus {
    Working,
    InputRequired,
    Completed,
    Failed,
    Cancelled,
}

impl TaskStatus {
    fn read(raw: &Bytes) -> Option<Self> {
        Some(match &*object::text(raw)? {
            "working" => Self::Working,
            "input_required" => Self::InputRequired,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => return None,
        })
    }
}

impl TaskState {
    /// Reads a task of 2026-07-28. `None` if it has no status that is known.
    pub(super) fn read(members: RawObject) -> Option<Self> {
        Some(Self {
            status: TaskStatus::read(members.get("status")?)?,
            message: members
                .get("statusMessage")
                .and_then(object::text)
                .map(|text| text.into_owned()),
            interval: members.get("pollIntervalMs").and_then(millis),
            members,
        })
    }

    /// The server's id of it.
    pub(super) fn id(&self) -> Option<String> {
        let id = self.members.get("taskId").and_then(object::text)?;
        Some(id.into_owned())
    }

    /// How it ended, if it was with an answer.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.status {
            TaskStatus::Completed => self.members.get("result").cloned().map(Outcome::Result),
            TaskStatus::Failed => self.members.get("error").cloned().map(Outcome::Error),
            _ => None,
        }
    }

    /// What it wants to know, as an object by keys; only what was not `answered`.
    pub(super) fn server_requests(&self, answered: impl Fn(&str) -> bool) -> Option<RawObject> {
        let all = RawObject::parse_checked(self.members.get("inputRequests")?).ok()?;
        let mut open = RawObject::new();
        for (key, request) in all.iter().filter(|(key, _)| !answered(key)) {
            open.set(&key, request.clone());
        }
        (!open.is_empty()).then_some(open)
    }
}

/// A number of milliseconds, which some write with a fraction.
fn millis(raw: &Bytes) -> Option<Duration> {
    let millis: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<TaskState> {
        TaskState::read(RawObject::parse(&Bytes::from_static(text.as_bytes())).expect("an object"))
    }

    #[test]
    fn a_task_is_what_its_status_says() {
        let done =
            read(r#"{"taskId":"t","status":"completed","result":{"x":1},"pollIntervalMs":1.5e3}"#).expect("a task");
        assert!(matches!(done.outcome(), Some(Outcome::Result(raw)) if raw == r#"{"x":1}"#));
        assert_eq!(
            (done.id().as_deref(), done.interval),
            (Some("t"), Some(Duration::from_millis(1500)))
        );
        assert!(
            read(r#"{"status":"working","result":{}}"#)
                .expect("a task")
                .outcome()
                .is_none()
        );
        assert!(read(r#"{"status":"asleep"}"#).is_none() && read("{}").is_none());
        assert_eq!(
            read(r#"{"status":"working","pollIntervalMs":-1}"#)
                .expect("a task")
                .interval,
            None
        );
    }

    #[test]
    fn what_was_answered_is_not_asked_again() {
        let state = read(r#"{"status":"input_required","inputRequests":{"a":{"m":1},"b":{}}}"#).expect("a task");
        let open = state.server_requests(|key| key == "a").expect("one");
        assert_eq!(open.to_bytes(), r#"{"b":{}}"#);
        assert!(state.server_requests(|_| true).is_none());
    }
}
