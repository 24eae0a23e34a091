//! Progress notifications for a polled task.

use bytes::Bytes;
use portolan_wire::{
    envelope,
    method::Method,
    object::{self, RawObject},
};

use super::state::TaskState;
use crate::relay_request::RelayRequest;

/// The progress sent so far.
#[derive(Debug, Default)]
pub(super) struct ProgressReporter {
    /// The client's progress token; `None` if it wants no progress.
    token: Option<Bytes>,
    sent: u64,
    last: Option<String>,
}

impl ProgressReporter {
    pub(super) fn of(request: &RelayRequest) -> Self {
        Self {
            token: request.progress_token(),
            ..Self::default()
        }
    }

    /// Returns the notification of the task's status message, if it changed.
    pub(super) fn of_state(&mut self, state: &TaskState) -> Option<Bytes> {
        let token = self.token.as_ref()?;
        let message = state
            .message
            .as_ref()
            .filter(|message| self.last.as_ref() != Some(message))?;
        self.sent += 1;
        self.last = Some(message.clone());
        let mut params = RawObject::new();
        params.set("progressToken", token.clone());
        params.set("progress", self.sent.to_string().into());
        params.set("message", object::quote(message));
        Some(envelope::notification(&Method::Progress, Some(&params.to_bytes())))
    }
}
