//! What the server asks in the middle of calls.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::{ExchangeEvent, RpcResponse, ServerRequest};
use portolan_wire::{
    envelope::Request,
    error::{ErrorObject, INTERNAL_ERROR},
    id::RequestId,
};

use super::{RpcDispatcher, State, send, write_queue::answer_line};
use crate::ProcessLimits;

/// The server asked while calls of several conversations were under way, or none that can answer.
const NOBODY: &str = "nobody can be asked now: no call is under way, or calls of more than one conversation";
const TOO_MANY: &str = "too many questions are open";
const OVER: &str = "nobody answers any more: the call that this was asked in is over";

/// The questions that wait for an answer, by the key that the caller knows them by.
#[derive(Default)]
pub(super) struct OpenServerRequests {
    asked: HashMap<u64, OpenRequest>,
    next_key: u64,
}

struct OpenRequest {
    call: u64,
    /// The server's own.
    id: RequestId,
}

impl OpenServerRequests {
    fn add(&mut self, call: u64, id: &RequestId, limits: &ProcessLimits) -> Option<u64> {
        let of_call = self.asked.values().filter(|asked| asked.call == call).count();
        if self.asked.len() >= limits.server_requests || of_call >= limits.call_server_requests {
            return None;
        }
        self.next_key += 1;
        let id = id.detached();
        self.asked.insert(self.next_key, OpenRequest { call, id });
        Some(self.next_key)
    }

    fn take(&mut self, call: u64, key: u64) -> Option<RequestId> {
        self.asked.get(&key).filter(|asked| asked.call == call)?;
        self.asked.remove(&key).map(|asked| asked.id)
    }

    fn take_all(&mut self, call: u64) -> Vec<RequestId> {
        if self.asked.is_empty() {
            return Vec::new();
        }
        let over = self.asked.extract_if(|_, asked| asked.call == call);
        over.map(|(_, asked)| asked.id).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }
}

impl RpcDispatcher {
    /// Brings a question of the server to the caller it is for, or tells the server that nobody can be asked.
    ///
    /// That is the code for an internal error: `-1` would say that a person refused, and the method is not unknown.
    pub(crate) fn ask(&self, request: Request) {
        let refusal = self.lock().ask(&request, &self.limits);
        if let Err(problem) = refusal {
            self.tell(portolan_wire::envelope::error(
                Some(&request.id),
                &ErrorObject::new(INTERNAL_ERROR, problem),
            ));
        }
    }

    /// Brings the answer to a question that was asked in `call` to the server, once.
    pub(super) fn respond(&self, call: u64, key: u64, answer: RpcResponse) {
        let mut state = self.lock();
        let Some(id) = state.server_requests.take(call, key) else {
            return;
        };
        let (member, raw) = match &answer {
            RpcResponse::Result(raw) => ("result", raw),
            RpcResponse::Error(raw) => ("error", raw),
        };
        let room = self.limits.queue_bytes;
        if !state.write_queue.push(None, answer_line(&id, member, raw), room) {
            state.refuse(&id, "the answer finds no room: earlier messages are not read");
        }
        drop(state);
        self.outgoing.notify_one();
    }

    /// The server takes a question of its own back.
    pub(crate) fn withdraw(&self, id: &RequestId) {
        self.lock().server_requests.asked.retain(|_, asked| asked.id != *id);
    }
}

impl State {
    fn ask(&mut self, request: &Request, limits: &ProcessLimits) -> Result<(), &'static str> {
        let (call, pending) = self.sole_requester().ok_or(NOBODY)?;
        let events = pending.events.clone();
        let key = self.server_requests.add(call, &request.id, limits).ok_or(TOO_MANY)?;
        let question = ServerRequest::new(key, request.method.as_str(), request.params.clone());
        if send(&events, ExchangeEvent::ServerRequest(question)) {
            return Ok(());
        }
        self.server_requests.take(call, key);
        Err(TOO_MANY)
    }

    /// Answers what is still open of a call that is over, so that the server does not wait. Whether there was anything.
    pub(super) fn end_questions(&mut self, call: u64) -> bool {
        let open = self.server_requests.take_all(call);
        for id in &open {
            self.refuse(id, OVER);
        }
        !open.is_empty()
    }

    /// There is room for this whatever waits: it is short, and there are no more of them than open questions.
    fn refuse(&mut self, id: &RequestId, problem: &'static str) {
        let error: Bytes = ErrorObject::new(INTERNAL_ERROR, problem).to_bytes();
        self.write_queue
            .push(None, answer_line(id, "error", &error), usize::MAX);
    }
}

#[cfg(test)]
mod tests;
