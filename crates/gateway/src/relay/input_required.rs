//! Questions to modern clients: as `input_required` results, which end the request. The client comes back.

use std::sync::Arc;

use bytes::Bytes;
use http::Method as Verb;
use portolan_core::{Error, Failure, FailureKind, Result, RpcResponse};
use portolan_wire::{
    envelope,
    error::ErrorObject,
    id::RequestId,
    meta,
    object::{self, RawObject},
    sse,
};
use tokio::time::Instant;

use super::{
    generated_body::{EventWriter, GeneratedBody},
    pending_call::PendingCall,
    suspended::SuspendedCall,
    token::{Continuation, OpenServerRequest, ReplicaLocation, RequestState, StreamCheckpointState},
};
use crate::{
    request_context::RequestContext,
    routes::InstallRoute,
    seal::Purpose,
    service::Inner,
    tasks,
    upstream::{
        INPUT_REQUIRED, InputRequired, MOST, Reply, ResumeRequest, ServerRequest, ServerRequestKey, Step,
        StreamCheckpoint, TaskCreated, UpstreamRequest, modern_params, request, response, retell,
    },
};

/// Bytes of questions that a state carries.
const CARRIED: usize = 32 * 1024;

/// A call of a legacy server, as a stream for a modern client: to its answer, or to its first questions.
pub(super) fn listen(pending: PendingCall, suspended: SuspendedCall) -> Reply {
    Reply::Stream(GeneratedBody::begin(|writer| generate(pending, suspended, writer)))
}

async fn generate(pending: PendingCall, mut suspended: SuspendedCall, writer: EventWriter) {
    loop {
        for piece in suspended.heard.drain(..) {
            writer.piece(piece).await;
        }
        if suspended.over {
            return;
        }
        if !suspended.server_requests.is_empty() && !gather(&pending, &mut suspended, &writer).await {
            return;
        }
        if !suspended.server_requests.is_empty() {
            match pending.suspend(suspended) {
                Ok(message) => return writer.event(&message).await,
                Err(back) => suspended = *back,
            }
        }
        match suspended.events.step().await {
            Some(Ok(Step::Frame(piece))) => writer.piece(piece).await,
            Some(Ok(Step::ServerRequest(server_request))) => suspended.put(server_request),
            Some(Ok(Step::InputRequired(asked))) => {
                let message = pending.wrap(asked, 1).unwrap_or_else(|error| pending.failure(&error));
                return writer.event(&message).await;
            }
            Some(Ok(Step::Task(task))) => return tasks::drive(&pending, task, None, true, &writer).await,
            Some(Err(fault)) => return writer.fail(fault).await,
            None => return,
        }
    }
}

/// A call that has become a task, as a stream for a modern client that knows none.
pub(super) fn await_task(pending: PendingCall, task: TaskCreated) -> Reply {
    Reply::Stream(GeneratedBody::begin(|writer| async move {
        tasks::drive(&pending, task, None, false, &writer).await;
    }))
}

/// Waits a little for further questions. Whether the call is still open then.
async fn gather(pending: &PendingCall, suspended: &mut SuspendedCall, writer: &EventWriter) -> bool {
    let end = Instant::now() + pending.inner.config.timeouts.gather;
    while suspended.server_requests.len() < MOST {
        match tokio::time::timeout_at(end, suspended.events.step()).await {
            Err(_) => break,
            Ok(Some(Ok(Step::Frame(piece)))) => writer.piece(piece).await,
            Ok(Some(Ok(Step::ServerRequest(server_request)))) => suspended.put(server_request),
            Ok(_) => return false,
        }
    }
    true
}

/// Leaves a call at a server whose stream can be taken up again, unless its questions are too large to be carried around.
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

/// A request of a modern client that brings a `requestState` back.
pub(crate) async fn bring(
    inner: &Arc<Inner>,
    context: &Arc<RequestContext>,
    mounted: &InstallRoute,
    outgoing: &UpstreamRequest<'_>,
    text: &Bytes,
) -> Result<Reply> {
    let pending = PendingCall::of(inner, context, mounted, outgoing);
    let Some(state) = pending.open_state() else {
        let error = ErrorObject::invalid_params("requestState is not one that this call was given, or is too old");
        return Ok(Reply::Message(envelope::error(Some(&pending.id), &error)));
    };
    let mut params = pending.params.clone();
    match state.rest {
        Continuation::Wrapped(inner) => {
            params.set("requestState", object::quote(&inner));
            pending.call(params).await
        }
        Continuation::Again => {
            params.remove("requestState");
            params.remove("inputResponses");
            pending.call(params).await
        }
        Continuation::Suspended(place) if inner.server_requests.is_here(&place) => {
            match inner.server_requests.suspended.take(&place.handle).await {
                Some(suspended) => pending.resume(suspended).await,
                None => Ok(pending.lost()),
            }
        }
        Continuation::Suspended(place) => Ok(pending.elsewhere(&place, text).await),
        Continuation::Task(left) => Ok(tasks::go_on(pending, left, state.round)),
        Continuation::StreamCheckpointState(left) => pending.take_up(state.round, left).await,
    }
}

impl PendingCall {
    /// An `input_required` result for the client, with its state sealed: it carries where the call goes, and a server that
    /// serves many with one credential cannot tell them apart.
    pub(super) fn wrap(&self, asked: InputRequired, round: u64) -> Result<Bytes> {
        let requests = asked.requests().map_err(|problem| self.protocol_error(problem))?;
        if !requests
            .iter()
            .all(|(_, method, params)| self.asks.permit(method, params.as_ref()))
        {
            return Ok(self.failure(&self.protocol_error("it asks what it was told that this client cannot answer")));
        }
        let rest = match asked.state().map(object::text) {
            Some(Some(inner)) => Some(Continuation::Wrapped(inner.into())),
            Some(None) => return Ok(self.failure(&self.protocol_error("its requestState is no string"))),
            None if asked.ours => Some(Continuation::Again),
            None => None,
        };
        let mut result = asked.result;
        if let Some(rest) = rest {
            result.set("requestState", object::quote(&self.seal(&self.state(round, rest))?));
        }
        Ok(envelope::result(&self.id, &result.to_bytes()))
    }

    fn state(&self, round: u64, rest: Continuation) -> RequestState {
        RequestState {
            bound_to: self.bound_to(),
            install: self.install,
            digest: self.digest(),
            expires: self.expiry(),
            round,
            rest,
        }
    }

    /// The state that the client brought, if it is of this call.
    fn open_state(&self) -> Option<RequestState> {
        let sealed = object::text(self.params.get("requestState")?)?;
        let state = RequestState::decode(&self.inner.keys.open(Purpose::State, &sealed)?)?;
        let fits = state.bound_to == self.bound_to()
            && state.install == self.install
            && state.expires > self.now()
            && state.digest == self.digest();
        fits.then_some(state)
    }

    /// Keeps a call with questions. Gives what its client is told; or the call, when its questions had to be refused.
    fn suspend(&self, mut suspended: SuspendedCall) -> Result<Bytes, Box<SuspendedCall>> {
        suspended.round += 1;
        let limit = self.inner.config.limits.rounds;
        if usize::try_from(suspended.round).unwrap_or(usize::MAX) > limit {
            let what = "questions of one call";
            return Ok(self.failure(&Error::Exhausted { what, limit }));
        }
        let round = suspended.round;
        let mut requests = RawObject::new();
        for (key, server_request) in &suspended.server_requests {
            let params = modern_params(&server_request.method, server_request.params.as_ref());
            requests.set(key, request(&server_request.method, params.as_ref()));
        }
        // Where the server's stream can be taken up again, nothing is kept here.
        if let Some(left) = leave(&mut suspended, &requests) {
            return Ok(self.asks(round, Continuation::StreamCheckpointState(left), &requests));
        }
        match self.inner.server_requests.suspended.keep(self.bound_to(), suspended) {
            Ok(handle) => Ok(self.asks(
                round,
                Continuation::Suspended(self.inner.server_requests.place(handle)),
                &requests,
            )),
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
    fn asks(&self, round: u64, rest: Continuation, requests: &RawObject) -> Bytes {
        let sealed = match self.seal(&self.state(round, rest)) {
            Ok(sealed) => sealed,
            Err(error) => return self.failure(&error),
        };
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(INPUT_REQUIRED));
        result.set("inputRequests", requests.to_bytes());
        result.set("requestState", object::quote(&sealed));
        envelope::result(&self.id, &result.to_bytes())
    }

    /// The message that asks the client for what a task wants to know.
    pub(crate) fn asks_for_task(&self, round: u64, task: tasks::TaskContinuation, requests: &RawObject) -> Bytes {
        self.asks(round, Continuation::Task(task), requests)
    }

    /// The answers that the client brought.
    pub(crate) fn answers(&self) -> RawObject {
        let answers = self.params.get("inputResponses").map(RawObject::parse_checked);
        answers.and_then(Result::ok).unwrap_or_default()
    }

    pub(crate) fn progress_token(&self) -> Option<Bytes> {
        let meta = RawObject::parse_checked(self.params.get(meta::META)?).ok()?;
        meta.get(meta::PROGRESS_TOKEN).cloned()
    }

    /// Goes on with a call whose stream was left, in whichever replica. If that fails, the same state may be brought again.
    async fn take_up(self, round: u64, mut left: StreamCheckpointState) -> Result<Reply> {
        let answers = self.answers();
        let mut missing = Vec::new();
        let mut requests = RawObject::new();
        let mut known = Vec::new();
        for open in std::mem::take(&mut left.server_requests) {
            let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(&open.id)) else {
                return Ok(self.lost());
            };
            match answers.get(&open.key).filter(|raw| raw.starts_with(b"{")) {
                Some(raw) => {
                    let text = response(&id, &RpcResponse::Result(raw.clone()));
                    self.link.tell(&left.session_ref, &self.credential, text).await?;
                }
                None => {
                    requests.set(&open.key, Bytes::copy_from_slice(&open.request));
                    missing.push(open);
                }
            }
            known.push(id);
        }
        if !missing.is_empty() {
            left.server_requests = missing;
            return Ok(Reply::Message(self.asks(
                round,
                Continuation::StreamCheckpointState(left),
                &requests,
            )));
        }
        let Ok(call) = RequestId::parse(&Bytes::copy_from_slice(&left.call)) else {
            return Ok(self.lost());
        };
        let outgoing = self.outgoing(self.params.clone());
        let request = ResumeRequest {
            outgoing: &outgoing,
            token: self.progress_token(),
            known,
        };
        let named = left.named;
        let left = StreamCheckpoint {
            session_ref: left.session_ref,
            call,
            event: Bytes::copy_from_slice(left.event.as_bytes()),
        };
        Ok(match self.link.resume(&left, request).await? {
            Some(Reply::Events(events)) => listen(self, SuspendedCall::from(events).after(round, named)),
            Some(reply) => reply,
            None => self.lost(),
        })
    }

    /// Goes on with a call that was kept: under the new request's id, with its answers.
    async fn resume(self, mut suspended: SuspendedCall) -> Result<Reply> {
        let (answers, token) = (self.answers(), self.progress_token());
        // What is missing is asked again, under its key.
        let open = std::mem::take(&mut suspended.server_requests);
        for (key, server_request) in open {
            match answers.get(&key).filter(|raw| raw.starts_with(b"{")) {
                Some(answer) => suspended
                    .events
                    .answer(&server_request.key, RpcResponse::Result(answer.clone())),
                None => suspended.server_requests.push((key, server_request)),
            }
        }
        suspended.events.rebind(&self.id, token.as_ref());
        let heard = std::mem::take(&mut suspended.heard).concat();
        let mut decoder = sse::Decoder::new(heard.len());
        decoder.push(heard.into());
        while let Ok(Some(event)) = decoder.next_event() {
            if let Some(message) = retell(&event.data, &self.id, token.as_ref()) {
                suspended.heard.push(sse::event(&message));
            }
        }
        if !suspended.heard.is_empty() || !suspended.server_requests.is_empty() {
            return Ok(listen(self, suspended));
        }
        let (round, named) = (suspended.round, suspended.named());
        Ok(match suspended.events.settle().await? {
            Reply::Events(events) => listen(self, SuspendedCall::from(events).after(round, named)),
            reply => reply,
        })
    }

    /// The call was kept in another replica.
    async fn elsewhere(&self, place: &ReplicaLocation, text: &Bytes) -> Reply {
        match self.inner.forward(&self.context, Verb::POST, place, text.clone()).await {
            Ok(response) => Reply::Forwarded(Box::new(response)),
            Err(_) => self.lost(),
        }
    }

    /// A call that had begun is never made again by itself: it may have done something.
    fn lost(&self) -> Reply {
        let failure = Failure::new(FailureKind::Stopped, "the call that waited for these answers is gone")
            .remedy("call again, if it may be done twice");
        Reply::Message(self.failure(&self.failed(failure)))
    }
}
