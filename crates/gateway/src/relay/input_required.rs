//! Calls of modern clients that their servers ask something: `input_required` results, which end the request. The client
//! comes back with answers and a `requestState`.

use std::sync::Arc;

use bytes::Bytes;
use http::Method as Verb;
use portolan_client::{MAX_SERVER_REQUESTS, Reply, ResumeRequest, Step, StreamCheckpoint, response, retell};
use portolan_core::{Failure, FailureKind, Result, RpcResponse};
use portolan_wire::{
    envelope,
    error::ErrorObject,
    id::RequestId,
    object::{self, RawObject},
    sse,
};
use tokio::time::{Duration, Instant};

use super::{Relay, outcome::Outcome};
use crate::{
    body::{EventWriter, GeneratedBody},
    relay_request::RelayRequest,
    server_requests::{Continuation, StreamCheckpointState, SuspendedCall},
};

/// A call of a legacy server, as a stream for a modern client: to its answer, or to its first questions.
pub(super) fn stream(relay: &Arc<Relay>, request: RelayRequest, suspended: SuspendedCall) -> Outcome {
    let relay = relay.clone();
    Outcome::Events(GeneratedBody::begin(|writer| {
        generate(relay, request, suspended, writer)
    }))
}

async fn generate(relay: Arc<Relay>, request: RelayRequest, mut suspended: SuspendedCall, writer: EventWriter) {
    loop {
        for piece in suspended.heard.drain(..) {
            writer.piece(piece).await;
        }
        if suspended.over {
            return;
        }
        if !suspended.server_requests.is_empty() && !gather(relay.config.timeouts.gather, &mut suspended, &writer).await
        {
            return;
        }
        if !suspended.server_requests.is_empty() {
            match relay.server_requests.suspend(&request, suspended) {
                Ok(message) => return writer.event(&message).await,
                Err(back) => suspended = *back,
            }
        }
        match suspended.events.step().await {
            Some(Ok(Step::Frame(piece))) => writer.piece(piece).await,
            Some(Ok(Step::ServerRequest(server_request))) => suspended.put(server_request),
            Some(Ok(Step::InputRequired(asked))) => {
                let wrapped = relay.server_requests.wrap(&request, asked, 1);
                let message = wrapped.unwrap_or_else(|error| request.failure(&error));
                return writer.event(&message).await;
            }
            Some(Ok(Step::Task(task))) => return relay.tasks.poll(&request, task, None, true, &writer).await,
            Some(Err(fault)) => return writer.fail(fault).await,
            None => return,
        }
    }
}

/// Waits a little for further questions. Whether the call is still open then.
async fn gather(time: Duration, suspended: &mut SuspendedCall, writer: &EventWriter) -> bool {
    let end = Instant::now() + time;
    while suspended.server_requests.len() < MAX_SERVER_REQUESTS {
        match tokio::time::timeout_at(end, suspended.events.step()).await {
            Err(_) => break,
            Ok(Some(Ok(Step::Frame(piece)))) => writer.piece(piece).await,
            Ok(Some(Ok(Step::ServerRequest(server_request)))) => suspended.put(server_request),
            Ok(_) => return false,
        }
    }
    true
}

impl Relay {
    /// Goes on with a call whose client has brought a `requestState` back.
    pub(super) async fn come_back(self: &Arc<Self>, mut request: RelayRequest, text: &Bytes) -> Result<Outcome> {
        let Some((round, rest)) = self.server_requests.open_state(&request) else {
            let error = ErrorObject::invalid_params("requestState is not one that this call was given, or is too old");
            return Ok(Outcome::Message(envelope::error(Some(&request.id), &error)));
        };
        request.unchanged = None;
        match rest {
            Continuation::Wrapped(inner) => {
                request.params.set("requestState", object::quote(&inner));
                let reply = self.send(&request).await?;
                self.finish(request, reply)
            }
            Continuation::Again => {
                request.params.remove("requestState");
                request.params.remove("inputResponses");
                let reply = self.send(&request).await?;
                self.finish(request, reply)
            }
            Continuation::Suspended(location) if self.replicas.is_here(&location) => {
                match self.server_requests.take_suspended(&location.handle).await {
                    Some(suspended) => self.resume_suspended(request, suspended).await,
                    None => Ok(lost(&request)),
                }
            }
            Continuation::Suspended(location) => {
                let forwarded = self
                    .replicas
                    .forward(&request.context, Verb::POST, &location, text.clone());
                match forwarded.await {
                    Ok(response) => Ok(Outcome::Forwarded(Box::new(response))),
                    Err(_) => Ok(lost(&request)),
                }
            }
            Continuation::Task(left) => {
                let relay = self.clone();
                Ok(Outcome::Events(GeneratedBody::begin(|writer| async move {
                    relay.tasks.poll_again(&request, left, round, &writer).await;
                })))
            }
            Continuation::StreamCheckpointState(left) => self.resume_stream(request, round, left).await,
        }
    }

    /// Goes on with a call whose stream was left, in whichever replica. If that fails, the same state may be brought again.
    async fn resume_stream(
        self: &Arc<Self>,
        request: RelayRequest,
        round: u64,
        mut left: StreamCheckpointState,
    ) -> Result<Outcome> {
        let answers = request.answers();
        let mut missing = Vec::new();
        let mut requests = RawObject::new();
        let mut known = Vec::new();
        for open in std::mem::take(&mut left.server_requests) {
            let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(&open.id)) else {
                return Ok(lost(&request));
            };
            match answers.get(&open.key).filter(|raw| raw.starts_with(b"{")) {
                Some(raw) => {
                    let text = response(&id, &RpcResponse::Result(raw.clone()));
                    request
                        .server
                        .notify(&left.session_ref, &request.credential, text)
                        .await?;
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
            let rest = Continuation::StreamCheckpointState(left);
            let message = self.server_requests.input_required(&request, round, rest, &requests);
            return Ok(Outcome::Message(message));
        }
        let Ok(call) = RequestId::parse(&Bytes::copy_from_slice(&left.call)) else {
            return Ok(lost(&request));
        };
        let upstream = request.upstream();
        let resume = ResumeRequest {
            request: &upstream,
            token: request.progress_token(),
            known,
        };
        let named = left.named;
        let left = StreamCheckpoint {
            session_ref: left.session_ref,
            call,
            event: Bytes::copy_from_slice(left.event.as_bytes()),
        };
        match request.server.resume(&left, resume).await? {
            Some(Reply::Events(events)) => {
                let suspended = SuspendedCall::from(events).after(round, named);
                Ok(stream(self, request, suspended))
            }
            Some(reply) => self.finish(request, reply),
            None => Ok(lost(&request)),
        }
    }

    /// Goes on with a call that was kept: under the new request's id, with its answers.
    async fn resume_suspended(
        self: &Arc<Self>,
        request: RelayRequest,
        mut suspended: SuspendedCall,
    ) -> Result<Outcome> {
        let (answers, token) = (request.answers(), request.progress_token());
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
        suspended.events.rebind(&request.id, token.as_ref());
        let heard = std::mem::take(&mut suspended.heard).concat();
        let mut decoder = sse::Decoder::new(heard.len());
        decoder.push(heard.into());
        while let Ok(Some(event)) = decoder.next_event() {
            if let Some(message) = retell(&event.data, &request.id, token.as_ref()) {
                suspended.heard.push(sse::event(&message));
            }
        }
        if !suspended.heard.is_empty() || !suspended.server_requests.is_empty() {
            return Ok(stream(self, request, suspended));
        }
        let (round, named) = (suspended.round, suspended.named());
        match suspended.events.settle().await? {
            Reply::Events(events) => {
                let suspended = SuspendedCall::from(events).after(round, named);
                Ok(stream(self, request, suspended))
            }
            reply => self.finish(request, reply),
        }
    }
}

/// A call that had begun is never sent again by itself: it may have done something.
fn lost(request: &RelayRequest) -> Outcome {
    let failure = Failure::new(FailureKind::Stopped, "the call that waited for these answers is gone")
        .remedy("call again, if it may be done twice");
    Outcome::Message(request.failure(&request.failed(failure)))
}
