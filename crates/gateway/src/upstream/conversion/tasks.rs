//! What of an answer concerns tasks.

use bytes::Bytes;
use portolan_wire::{envelope, era::Era, object::RawObject};

use super::{Conversion, Converted};
use crate::{
    server_requests::UpstreamSessionRef,
    tasks::{self, TaskIds},
    upstream::TaskCreated,
};

impl Conversion {
    /// The call goes to a legacy server, in the session at `session_ref`: so does what asks for the task that it may become.
    pub(crate) fn seat_tasks(&mut self, session_ref: impl FnOnce() -> Option<UpstreamSessionRef>) {
        if let Some(TaskIds::Sealed(_)) = self.tasks.as_deref() {
            let tasks = self.tasks.as_ref().and_then(|tasks| tasks.at_legacy(session_ref()));
            self.tasks = tasks;
        }
    }

    /// Params of the server, with the id by which the client knows the task that they belong to.
    pub(crate) fn related(&self, params: Option<Bytes>) -> Option<Bytes> {
        let (Some(tasks), Some(raw)) = (&self.tasks, &params) else {
            return params;
        };
        tasks::renamed(raw, |own| tasks.id_of(own)).or(params)
    }

    /// Whether the server tells of tasks of 2025-11-25 in a way that the client understands.
    pub(crate) fn tells_of_tasks(&self) -> bool {
        self.client == Some(Era::Legacy) && self.upstream == Era::Legacy && self.tasks.is_some()
    }

    /// The answer that makes a task of a call: one that the gateway drives, or one of a legacy server for a modern client.
    pub(super) fn created(&self, result: &RawObject, result_type: Option<&Bytes>) -> Option<Converted> {
        let tasks = self.tasks.as_deref()?;
        if self.upstream == Era::Modern {
            let is_driven = matches!(tasks, TaskIds::ResponseBody) && self.is_task(result_type);
            return is_driven.then(|| {
                Converted::Task(TaskCreated {
                    task: result.clone(),
                    is_legacy: false,
                })
            });
        }
        if self.client != Some(Era::Modern) {
            return None;
        }
        let mut task = tasks.created(result)?;
        if tasks.are_driven() {
            return Some(Converted::Task(TaskCreated { task, is_legacy: true }));
        }
        task.insert_first("resultType", Bytes::from_static(br#""task""#));
        Some(Converted::Message(envelope::result(&self.id, &task.to_bytes())))
    }
}
