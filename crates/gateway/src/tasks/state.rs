//! The state of a task, as its server reports it.

use std::time::Duration;

use bytes::Bytes;
use portolan_wire::{
    envelope::Outcome,
    object::{self, RawObject},
};

/// The last reported state of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskState {
    pub(super) status: TaskStatus,
    /// The status message, for people.
    pub(super) message: Option<String>,
    /// The poll interval that the server requests.
    pub(super) interval: Option<Duration>,
    /// All members.
    members: RawObject,
}

/// The status of a task.
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
    /// Reads a task of 2026-07-28; `None` if its status is unknown.
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

    /// Returns the server's id of the task.
    pub(super) fn id(&self) -> Option<String> {
        let id = self.members.get("taskId").and_then(object::text)?;
        Some(id.into_owned())
    }

    /// Returns the result or error of a finished task.
    pub(super) fn outcome(&self) -> Option<Outcome> {
        match self.status {
            TaskStatus::Completed => self.members.get("result").cloned().map(Outcome::Result),
            TaskStatus::Failed => self.members.get("error").cloned().map(Outcome::Error),
            _ => None,
        }
    }

    /// Returns the open requests of the task as an object by keys, without those already `answered`.
    pub(super) fn server_requests(&self, answered: impl Fn(&str) -> bool) -> Option<RawObject> {
        let all = RawObject::parse_checked(self.members.get("inputRequests")?).ok()?;
        let mut open = RawObject::new();
        for (key, request) in all.iter().filter(|(key, _)| !answered(key)) {
            open.set(&key, request.clone());
        }
        (!open.is_empty()).then_some(open)
    }
}

/// Parses milliseconds, which some servers write with a fraction.
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
    fn outcome_follows_status() {
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
    fn answered_requests_are_skipped() {
        let state = read(r#"{"status":"input_required","inputRequests":{"a":{"m":1},"b":{}}}"#).expect("a task");
        let open = state.server_requests(|key| key == "a").expect("one");
        assert_eq!(open.to_bytes(), r#"{"b":{}}"#);
        assert!(state.server_requests(|_| true).is_none());
    }
}
