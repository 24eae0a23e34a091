//! `input_required` results for modern clients, and the sealed `requestState` that they bring back.

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

/// The most bytes of requests that a state carries.
const CARRIED: usize = 32 * 1024;

impl ServerRequests {
    /// The message with an `input_required` result of a modern server, its state sealed: the state says where the call goes,
    /// and a server that serves many callers with one credential cannot tell them apart.
    pub(crate) fn wrap(&self, call: &RelayRequest, asked: InputRequired, round: u64) -> Result<Bytes> {
        let requests = asked.requests().map_err(|problem| call.protocol_error(problem))?;
        if !requests
            .iter()
            .all(|(_, method, params)| call.capabilities.permit(method, params.as_ref()))
        {
            return Ok(call.failure(&call.protocol_error("it asks what it was told that this client cannot answer")));
        }
        let rest = match asked.state().map(object::text) {
            Some(Some(inner)) => Some(Continuation::Wrapped(inner.into())),
            Some(None) => return Ok(call.failure(&call.protocol_error("its requestState is no string"))),
            None if asked.ours => Some(Continuation::Again),
            None => None,
        };
        let mut result = asked.result;
        if let Some(rest) = rest {
            result.set("requestState", object::quote(&self.seal(call, round, rest)?));
        }
        Ok(envelope::result(&call.id, &result.to_bytes()))
    }

    /// What a client's `requestState` says of the call, if it belongs to this call: the round, and how to go on.
    pub(crate) fn open_state(&self, call: &RelayRequest) -> Option<(u64, Continuation)> {
        let sealed = object::text(call.params.get("requestState")?)?;
        let state = RequestState::decode(&self.keys.open(Purpose::State, &sealed)?)?;
        let fits = state.bound_to == call.bound_to()
            && state.install == call.install.name
            && state.expires > self.now()
            && state.digest == call.digest();
        fits.then_some((state.round, state.rest))
    }

    /// Suspends a call with server requests. Returns the message that asks the client; or the call, when its server requests
    /// had to be refused.
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
        // Where the server's stream can be resumed, nothing is kept here.
        if let Some(left) = leave(&mut suspended, &requests) {
            return Ok(self.input_required(call, round, Continuation::StreamCheckpointState(left), &requests));
        }
        match self.suspended.keep(call.bound_to(), suspended) {
            Ok(handle) => {
                let rest = Continuation::Suspended(self.replicas.location(handle));
                Ok(self.input_required(call, round, rest, &requests))
            }
            Err(mut back) => {
                let refused = ErrorObject::internal("the client cannot be asked now").to_bytes();
                for (_, server_request) in back.server_requests.drain(..) {
                    back.events
                        .answer(&server_request.key, RpcResponse::Error(refused.clone()));
                }
                Err(back)
            }
        }
    }

    /// The message that asks the client.
    pub(crate) fn input_required(
        &self,
        call: &RelayRequest,
        round: u64,
        rest: Continuation,
        requests: &RawObject,
    ) -> Bytes {
        let sealed = match self.seal(call, round, rest) {
            Ok(sealed) => sealed,
            Err(error) => return call.failure(&error),
        };
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        result.set("requestState", object::quote(&sealed));
        envelope::result(&call.id, &result.to_bytes())
    }

    /// The message that asks the client for what a task wants to know.
    pub(crate) fn task_input_required(
        &self,
        call: &RelayRequest,
        round: u64,
        task: TaskContinuation,
        requests: &RawObject,
    ) -> Bytes {
        self.input_required(call, round, Continuation::Task(task), requests)
    }

    fn seal(&self, call: &RelayRequest, round: u64, rest: Continuation) -> Result<String> {
        let good_for = i64::try_from(self.config.timeouts.state.as_secs()).unwrap_or(i64::MAX / 2);
        let state = RequestState {
            bound_to: call.bound_to(),
            install: call.install.name,
            digest: call.digest(),
            expires: self.now().saturating_add(good_for),
            round,
            rest,
        };
        self.keys.seal(Purpose::State, &state.encode())
    }
}

/// Leaves a call at a server whose stream can be resumed, unless its requests are too large to be carried around.
fn leave(suspended: &mut SuspendedCall, requests: &RawObject) -> Option<StreamCheckpointState> {
    if !suspended.heard.is_empty() || requests.to_bytes().len() > CARRIED {
        return None;
    }
    let left = suspended.events.leave()?;
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
        session_ref: left.session_ref,
        call: left.call.as_raw().into(),
        event: std::str::from_utf8(&left.event).ok()?.into(),
        named: suspended.named(),
        server_requests: suspended.server_requests.iter().filter_map(open).collect(),
    })
}
