//! What of an answer concerns tasks.

use bytes::Bytes;
use portolan_wire::{envelope, era::Era, object::RawObject};

use crate::{
    conversion::{Conversion, Converted},
    session_ref::UpstreamSessionRef,
    transform::TaskRole,
};

/// That a call has become a task which the gateway is to drive.
#[derive(Clone, Debug)]
pub struct TaskCreated {
    /// The result that says so, as 2026-07-28 writes it.
    pub task: RawObject,
    /// Whether it is at a legacy server. Its id is then one that a client would know it by.
    pub is_legacy: bool,
}

impl Conversion {
    /// The call goes to a legacy server, in `session`: so does whatever asks for the task that it may become.
    pub(crate) fn bind_tasks(&mut self, session: impl FnOnce() -> Option<UpstreamSessionRef>) {
        if let Some(tasks) = &self.tasks
            && tasks.role() == TaskRole::MayBecomeTask
        {
            self.tasks = tasks.at_legacy(session());
        }
    }

    /// Params of the server, with the client's id of the task that they belong to.
    pub(crate) fn related(&self, params: Option<Bytes>) -> Option<Bytes> {
        let (Some(tasks), Some(raw)) = (&self.tasks, &params) else {
            return params;
        };
        crate::tasks::rename_related(raw, |own| tasks.client_id(own)).or(params)
    }

    /// Whether the client understands what the server says of tasks: both speak 2025-11-25.
    pub(crate) fn relays_task_status(&self) -> bool {
        self.client == Some(Era::Legacy) && self.upstream == Era::Legacy && self.tasks.is_some()
    }

    /// The answer that makes a task of a call: one that the relay polls, or one of a legacy server for a modern client.
    pub(super) fn created(&self, result: &RawObject, result_type: Option<&Bytes>) -> Option<Converted> {
        let tasks = self.tasks.as_ref()?;
        if self.upstream == Era::Modern {
            let is_polled = tasks.role() == TaskRole::Polled && self.is_task(result_type);
            return is_polled.then(|| {
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
        if tasks.polls_legacy_task() {
            return Some(Converted::Task(TaskCreated { task, is_legacy: true }));
        }
        task.insert_first("resultType", Bytes::from_static(br#""task""#));
        Some(Converted::Message(envelope::result(&self.id, &task.to_bytes())))
    }
}
