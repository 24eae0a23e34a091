//! `input_required` results for modern clients, and the sealed `requestState` in them.

use bytes::Bytes;
use portolan_client::{INPUT_REQUIRED, InputRequired, ServerRequest, ServerRequestKey, modern_params, request};
use portolan_core::{Error, Result, RpcResponse};
use portolan_wire::{
    envelope,
    error::ErrorObject,
    object::{self, RawObject},
};

use super::{
    ServerRequests,
    suspended::SuspendedCall,
    token::{Continuation, OpenServerRequest, RequestState, StreamCheckpointState, TaskContinuation},
};
use crate::{relay_request::RelayRequest, seal::Purpose};

/// The maximum size of the requests in a state, in bytes.
const MAX_STATE_REQUESTS: usize = 32 * 1024;

impl ServerRequests {
    /// Returns the message with an `input_required` result of a modern server, its state sealed: the state names the
    /// route of the call, and a server that serves many callers with one credential cannot tell them apart.
    pub(crate) fn wrap(&self, call: &RelayRequest, input: InputRequired, round: u64) -> Result<Bytes> {
        let requests = input.requests().map_err(|problem| call.protocol_error(problem))?;
        if !requests
            .iter()
            .all(|(_, method, params)| call.capabilities.permit(method, params.as_ref()))
        {
            return Ok(
                call.failure(&call.protocol_error("it sent a request that this client has not declared support for"))
            );
        }
        let continuation = match input.state().map(object::text) {
            Some(Some(inner)) => Some(Continuation::Wrapped(inner.into())),
            Some(None) => return Ok(call.failure(&call.protocol_error("its requestState is not a string"))),
            None if input.ours => Some(Continuation::Again),
            None => None,
        };
        let mut result = input.result;
        if let Some(continuation) = continuation {
            result.set("requestState", object::quote(&self.seal(call, round, continuation)?));
        }
        Ok(envelope::result(&call.id, &result.to_bytes()))
    }

    /// Opens a client's `requestState`, if it belongs to this call: the round, and how to continue.
    pub(crate) fn open_state(&self, call: &RelayRequest) -> Option<(u64, Continuation)> {
        let sealed = object::text(call.params.get("requestState")?)?;
        let state = RequestState::decode(&self.keys.open(Purpose::State, &sealed)?)?;
        let is_valid = state.bound_to == call.bound_to()
            && state.install == call.install.name
            && state.expires > self.now()
            && state.digest == call.digest();
        is_valid.then_some((state.round, state.continuation))
    }

    /// Suspends a call with server requests. Returns the message for the client; or the call, if the suspension failed
    /// and the requests were refused.
    pub(crate) fn suspend(
        &self,
        call: &RelayRequest,
        mut suspended: SuspendedCall,
    ) -> Result<Bytes, Box<SuspendedCall>> {
        suspended.round += 1;
        let limit = self.config.limits.rounds;
        if usize::try_from(suspended.round).unwrap_or(usize::MAX) > limit {
            let what = "server requests of one call";
            return Ok(call.failure(&Error::Exhausted { what, limit }));
        }
        let round = suspended.round;
        let mut requests = RawObject::new();
        for (key, server_request) in &suspended.server_requests {
            let params = modern_params(&server_request.method, server_request.params.as_ref());
            requests.set(key, request(&server_request.method, params.as_ref()));
        }
        // If the server's stream can be resumed, this replica keeps nothing.
        if let Some(checkpoint) = checkpoint_stream(&mut suspended, &requests) {
            return Ok(self.input_required(call, round, Continuation::StreamCheckpointState(checkpoint), &requests));
        }
        match self.suspended.suspend(call.bound_to(), suspended) {
            Ok(handle) => {
                let continuation = Continuation::Suspended(self.replicas.location(handle));
                Ok(self.input_required(call, round, continuation, &requests))
            }
            Err(mut rejected) => {
                let refused = ErrorObject::internal("the client cannot be asked now").to_bytes();
                for (_, server_request) in rejected.server_requests.drain(..) {
                    rejected
                        .events
                        .answer(&server_request.key, RpcResponse::Error(refused.clone()));
                }
                Err(rejected)
            }
        }
    }

    /// Returns the `input_required` message.
    pub(crate) fn input_required(
        &self,
        call: &RelayRequest,
        round: u64,
        continuation: Continuation,
        requests: &RawObject,
    ) -> Bytes {
        let sealed = match self.seal(call, round, continuation) {
            Ok(sealed) => sealed,
            Err(error) => return call.failure(&error),
        };
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        result.set("requestState", object::quote(&sealed));
        envelope::result(&call.id, &result.to_bytes())
    }

    /// Returns the `input_required` message with the requests of a task.
    pub(crate) fn task_input_required(
        &self,
        call: &RelayRequest,
        round: u64,
        task: TaskContinuation,
        requests: &RawObject,
    ) -> Bytes {
        self.input_required(call, round, Continuation::Task(task), requests)
    }

    fn seal(&self, call: &RelayRequest, round: u64, continuation: Continuation) -> Result<String> {
        let lifetime = i64::try_from(self.config.timeouts.state.as_secs()).unwrap_or(i64::MAX / 2);
        let state = RequestState {
            bound_to: call.bound_to(),
            install: call.install.name,
            digest: call.digest(),
            expires: self.now().saturating_add(lifetime),
            round,
            continuation,
        };
        self.keys.seal(Purpose::State, &state.encode())
    }
}

/// Closes the stream of a call whose server can resume it, unless its requests are too large for a state.
fn checkpoint_stream(suspended: &mut SuspendedCall, requests: &RawObject) -> Option<StreamCheckpointState> {
    if !suspended.frames.is_empty() || requests.to_bytes().len() > MAX_STATE_REQUESTS {
        return None;
    }
    let checkpoint = suspended.events.leave()?;
    let open = |(key, server_request): &(String, ServerRequest)| {
        let ServerRequestKey::Id(id) = &server_request.key else {
            return None;
        };
        Some(OpenServerRequest {
            key: key.as_str().into(),
            id: id.as_raw().into(),
            request: requests.get(key)?.as_ref().into(),
        })
    };
    Some(StreamCheckpointState {
        session_ref: checkpoint.session_ref,
        call: checkpoint.call.as_raw().into(),
        event: std::str::from_utf8(&checkpoint.event).ok()?.into(),
        key_count: suspended.key_count(),
        server_requests: suspended.server_requests.iter().filter_map(open).collect(),
    })
}
