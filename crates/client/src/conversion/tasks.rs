//! Converts the parts of a response that concern tasks.

use bytes::Bytes;
use portolan_wire::{envelope, era::Era, object::RawObject};

use crate::{
    conversion::{Conversion, Converted},
    session_ref::UpstreamSessionRef,
    transform::TaskRole,
};

/// A task that a call has become, which the relay has to poll.
#[derive(Clone, Debug)]
pub struct TaskCreated {
    /// The result with the task, in the form of 2026-07-28.
    pub task: RawObject,
    /// `true` if the task is at a legacy server. Its id is then already the client's.
    pub is_legacy: bool,
}

impl Conversion {
    /// Binds the task transform to `session` for a call to a legacy server: later requests for the task go there.
    pub(crate) fn bind_tasks(&mut self, session: impl FnOnce() -> Option<UpstreamSessionRef>) {
        if let Some(tasks) = &self.tasks
            && tasks.role() == TaskRole::MayBecomeTask
        {
            self.tasks = tasks.at_legacy(session());
        }
    }

    /// Rewrites the task id in params of the server.
    pub(crate) fn related(&self, params: Option<Bytes>) -> Option<Bytes> {
        let (Some(tasks), Some(raw)) = (&self.tasks, &params) else {
            return params;
        };
        crate::tasks::rename_related(raw, |own| tasks.client_id(own)).or(params)
    }

    /// Returns `true` if the client understands the server's task messages: both speak 2025-11-25.
    pub(crate) fn relays_task_status(&self) -> bool {
        self.client == Some(Era::Legacy) && self.upstream == Era::Legacy && self.tasks.is_some()
    }

    /// Reads a response that makes a task of a call: one that the relay polls, or one of a legacy server for a modern
    /// client.
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
