//! Requests that the server sends in the middle of calls.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::{ExchangeEvent, RpcResponse, ServerRequest};
use portolan_wire::{
    envelope::Request,
    error::{ErrorObject, INTERNAL_ERROR},
    id::RequestId,
};

use super::{RpcDispatcher, State, send, write_queue::response_line};
use crate::ProcessLimits;

/// The server sent a request while calls of several requesters were under way, or none that can respond.
const NO_CLIENT: &str = "no client can be asked: no call is under way, or calls of more than one conversation";
const TOO_MANY: &str = "too many requests to the client are open";
const CALL_ENDED: &str = "the call that this request was part of has ended";

/// The server requests that wait for a response, by the key that callers know them by.
#[derive(Default)]
pub(super) struct OpenServerRequests {
    open: HashMap<u64, OpenRequest>,
    next_key: u64,
}

struct OpenRequest {
    call: u64,
    /// The id that the server chose.
    id: RequestId,
}

impl OpenServerRequests {
    fn add(&mut self, call: u64, id: &RequestId, limits: &ProcessLimits) -> Option<u64> {
        let of_call = self.open.values().filter(|request| request.call == call).count();
        if self.open.len() >= limits.server_requests || of_call >= limits.call_server_requests {
            return None;
        }
        self.next_key += 1;
        let id = id.detached();
        self.open.insert(self.next_key, OpenRequest { call, id });
        Some(self.next_key)
    }

    fn take(&mut self, call: u64, key: u64) -> Option<RequestId> {
        self.open.get(&key).filter(|request| request.call == call)?;
        self.open.remove(&key).map(|request| request.id)
    }

    fn take_all(&mut self, call: u64) -> Vec<RequestId> {
        if self.open.is_empty() {
            return Vec::new();
        }
        let over = self.open.extract_if(|_, request| request.call == call);
        over.map(|(_, request)| request.id).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

impl RpcDispatcher {
    /// Delivers a server request to the caller that it belongs to, or responds that no client can be asked.
    ///
    /// That response has the code of an internal error: `-1` would mean that a person refused, and the method is not unknown.
    pub(crate) fn deliver_server_request(&self, request: Request) {
        let refusal = self.lock().deliver_server_request(&request, &self.limits);
        if let Err(problem) = refusal {
            self.send_line(portolan_wire::envelope::error(
                Some(&request.id),
                &ErrorObject::new(INTERNAL_ERROR, problem),
            ));
        }
    }

    /// Sends the response to a server request of `call` to the server, once.
    pub(super) fn respond(&self, call: u64, key: u64, response: RpcResponse) {
        let mut state = self.lock();
        let Some(id) = state.server_requests.take(call, key) else {
            return;
        };
        let (member, raw) = match &response {
            RpcResponse::Result(raw) => ("result", raw),
            RpcResponse::Error(raw) => ("error", raw),
        };
        let room = self.limits.queue_bytes;
        if !state.write_queue.push(None, response_line(&id, member, raw), room) {
            state.refuse(
                &id,
                "the response does not fit: the server does not read earlier messages",
            );
        }
        drop(state);
        self.outgoing.notify_one();
    }

    /// Forgets a request that the server cancelled.
    pub(crate) fn withdraw(&self, id: &RequestId) {
        self.lock().server_requests.open.retain(|_, request| request.id != *id);
    }
}

impl State {
    fn deliver_server_request(&mut self, request: &Request, limits: &ProcessLimits) -> Result<(), &'static str> {
        let (call, pending) = self.sole_requester().ok_or(NO_CLIENT)?;
        let events = pending.events.clone();
        let key = self.server_requests.add(call, &request.id, limits).ok_or(TOO_MANY)?;
        let request_event = ServerRequest::new(key, request.method.as_str(), request.params.clone());
        if send(&events, ExchangeEvent::ServerRequest(request_event)) {
            return Ok(());
        }
        self.server_requests.take(call, key);
        Err(TOO_MANY)
    }

    /// Refuses the open server requests of a call that has ended, so that the server does not wait. Returns false if there
    /// are none.
    pub(super) fn refuse_all(&mut self, call: u64) -> bool {
        let open = self.server_requests.take_all(call);
        for id in &open {
            self.refuse(id, CALL_ENDED);
        }
        !open.is_empty()
    }

    /// Exceeds the limit of the queue if need be: it is short, and there are no more of them than open requests.
    fn refuse(&mut self, id: &RequestId, problem: &'static str) {
        let error: Bytes = ErrorObject::new(INTERNAL_ERROR, problem).to_bytes();
        self.write_queue
            .push(None, response_line(id, "error", &error), usize::MAX);
    }
}

#[cfg(test)]
mod tests;
