//! What a client is told of how far a task is that is driven: as progress of its call.

use bytes::Bytes;
use portolan_wire::{
    envelope,
    method::Method,
    object::{self, RawObject},
};

use super::state::TaskState;
use crate::relay_request::RelayRequest;

/// What was told.
#[derive(Debug, Default)]
pub(super) struct ProgressReporter {
    /// The client's progress token; none if it wants to know nothing.
    token: Option<Bytes>,
    told: u64,
    last: Option<String>,
}

impl ProgressReporter {
    pub(super) fn of(request: &RelayRequest) -> Self {
        Self {
            token: request.progress_token(),
            ..Self::default()
        }
    }

    /// The notification of what the server says of the task, if that is news.
    pub(super) fn of_state(&mut self, state: &TaskState) -> Option<Bytes> {
        let token = self.token.as_ref()?;
        let message = state
            .message
            .as_ref()
            .filter(|message| self.last.as_ref() != Some(message))?;
        self.told += 1;
        self.last = Some(message.clone());
        let mut params = RawObject::new();
        params.set("progressToken", token.clone());
        params.set("progress", self.told.to_string().into());
        params.set("message", object::quote(message));
        Some(envelope::notification(&Method::Progress, Some(&params.to_bytes())))
    }
}
