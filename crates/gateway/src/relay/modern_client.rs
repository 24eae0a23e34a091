//! Calls of modern clients with server requests: `input_required` results, which end the request. The client comes
//! back with responses and a `requestState`.

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

/// Returns the stream of a call at a legacy server for a modern client: up to its response, or its first server
/// requests.
pub(super) fn stream(relay: &Arc<Relay>, request: RelayRequest, suspended: SuspendedCall) -> Outcome {
    let relay = relay.clone();
    Outcome::Events(GeneratedBody::begin(|writer| {
        generate(relay, request, suspended, writer)
    }))
}

async fn generate(relay: Arc<Relay>, request: RelayRequest, mut suspended: SuspendedCall, writer: EventWriter) {
    loop {
        for chunk in suspended.frames.drain(..) {
            writer.chunk(chunk).await;
        }
        if suspended.ended {
            return;
        }
        if !suspended.server_requests.is_empty() && !gather(relay.config.timeouts.gather, &mut suspended, &writer).await
        {
            return;
        }
        if !suspended.server_requests.is_empty() {
            match relay.server_requests.suspend(&request, suspended) {
                Ok(message) => return writer.event(&message).await,
                Err(rejected) => suspended = *rejected,
            }
        }
        match suspended.events.step().await {
            Some(Ok(Step::Frame(chunk))) => writer.chunk(chunk).await,
            Some(Ok(Step::ServerRequest(server_request))) => suspended.add(server_request),
            Some(Ok(Step::InputRequired(input))) => {
                let wrapped = relay.server_requests.wrap(&request, input, 1);
                let message = wrapped.unwrap_or_else(|error| request.failure(&error));
                return writer.event(&message).await;
            }
            Some(Ok(Step::Task(task))) => return relay.tasks.poll(&request, task, None, true, &writer).await,
            Some(Err(fault)) => return writer.fail(fault).await,
            None => return,
        }
    }
}

/// Waits for further server requests; returns whether the call is still open.
async fn gather(time: Duration, suspended: &mut SuspendedCall, writer: &EventWriter) -> bool {
    let end = Instant::now() + time;
    while suspended.server_requests.len() < MAX_SERVER_REQUESTS {
        match tokio::time::timeout_at(end, suspended.events.step()).await {
            Err(_) => break,
            Ok(Some(Ok(Step::Frame(chunk)))) => writer.chunk(chunk).await,
            Ok(Some(Ok(Step::ServerRequest(server_request)))) => suspended.add(server_request),
            Ok(_) => return false,
        }
    }
    true
}

impl Relay {
    /// Continues a call whose client sent back a `requestState`.
    pub(super) async fn continue_call(self: &Arc<Self>, mut request: RelayRequest, text: Bytes) -> Result<Outcome> {
        let Some((round, continuation)) = self.server_requests.open_state(&request) else {
            let error = ErrorObject::invalid_params("requestState does not belong to this call, or has expired");
            return Ok(Outcome::Message(envelope::error(Some(&request.id), &error)));
        };
        match continuation {
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
                    None => Ok(not_found(&request)),
                }
            }
            Continuation::Suspended(location) => {
                let forwarded = self.replicas.forward(&request.context, Verb::POST, &location, text);
                match forwarded.await {
                    Ok(response) => Ok(Outcome::Forwarded(Box::new(response))),
                    Err(_) => Ok(not_found(&request)),
                }
            }
            Continuation::Task(checkpoint) => {
                let relay = self.clone();
                Ok(Outcome::Events(GeneratedBody::begin(|writer| async move {
                    relay.tasks.poll_again(&request, checkpoint, round, &writer).await;
                })))
            }
            Continuation::StreamCheckpointState(checkpoint) => self.resume_stream(request, round, checkpoint).await,
        }
    }

    /// Continues a call whose stream was closed, in any replica. After a failure, the client may send the same state
    /// again.
    async fn resume_stream(
        self: &Arc<Self>,
        request: RelayRequest,
        round: u64,
        mut checkpoint: StreamCheckpointState,
    ) -> Result<Outcome> {
        let answers = request.answers();
        let mut missing = Vec::new();
        let mut requests = RawObject::new();
        let mut open_ids = Vec::new();
        for open in std::mem::take(&mut checkpoint.server_requests) {
            let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(&open.id)) else {
                return Ok(not_found(&request));
            };
            match answers.get(&open.key).filter(|raw| raw.starts_with(b"{")) {
                Some(raw) => {
                    let text = response(&id, &RpcResponse::Result(raw.clone()));
                    let (server, credential) = (&request.server, &request.credential);
                    server.notify(&checkpoint.session_ref, credential, text).await?;
                }
                None => {
                    requests.set(&open.key, Bytes::copy_from_slice(&open.request));
                    missing.push(open);
                }
            }
            open_ids.push(id);
        }
        if !missing.is_empty() {
            checkpoint.server_requests = missing;
            let continuation = Continuation::StreamCheckpointState(checkpoint);
            let message = self
                .server_requests
                .input_required(&request, round, continuation, &requests);
            return Ok(Outcome::Message(message));
        }
        let Ok(call) = RequestId::parse(&Bytes::copy_from_slice(&checkpoint.call)) else {
            return Ok(not_found(&request));
        };
        let upstream = request.upstream();
        let resume = ResumeRequest {
            request: &upstream,
            token: request.progress_token(),
            known: open_ids,
        };
        let key_count = checkpoint.key_count;
        let checkpoint = StreamCheckpoint {
            session_ref: checkpoint.session_ref,
            call,
            event: Bytes::copy_from_slice(checkpoint.event.as_bytes()),
        };
        match request.server.resume(&checkpoint, resume).await? {
            Some(Reply::Events(events)) => {
                let suspended = SuspendedCall::from(events).after(round, key_count);
                Ok(stream(self, request, suspended))
            }
            Some(reply) => self.finish(request, reply),
            None => Ok(not_found(&request)),
        }
    }

    /// Continues a suspended call under the id of the new request, with its responses.
    async fn resume_suspended(
        self: &Arc<Self>,
        request: RelayRequest,
        mut suspended: SuspendedCall,
    ) -> Result<Outcome> {
        let (answers, token) = (request.answers(), request.progress_token());
        // Requests without a response are sent again, under their keys.
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
        let frames = std::mem::take(&mut suspended.frames).concat();
        let mut decoder = sse::Decoder::new(frames.len());
        decoder.push(frames.into());
        while let Ok(Some(event)) = decoder.next_event() {
            if let Some(message) = retell(&event.data, &request.id, token.as_ref()) {
                suspended.frames.push(sse::event(&message));
            }
        }
        if !suspended.frames.is_empty() || !suspended.server_requests.is_empty() {
            return Ok(stream(self, request, suspended));
        }
        let (round, key_count) = (suspended.round, suspended.key_count());
        match suspended.events.settle().await? {
            Reply::Events(events) => {
                let suspended = SuspendedCall::from(events).after(round, key_count);
                Ok(stream(self, request, suspended))
            }
            reply => self.finish(request, reply),
        }
    }
}

/// Returns the failure of a call that cannot be continued. It is never sent again automatically, because it may have
/// had effects.
fn not_found(request: &RelayRequest) -> Outcome {
    let failure = Failure::new(
        FailureKind::Stopped,
        "the call that waited for these responses no longer exists",
    )
    .remedy("call again, if it may be done twice");
    Outcome::Message(request.failure(&request.failed(failure)))
}
