//! Server requests to legacy clients: as JSON-RPC requests on the stream of the call.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_client::{MAX_SERVER_REQUESTS, ServerRequest, ServerRequestKey, UpstreamSessionRef};
use portolan_core::{Error, Failure, FailureKind, Result, RpcResponse};
use portolan_wire::{
    envelope,
    era::ProtocolVersion,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use tokio::time::Instant;

use super::{ServerRequests, WaitGuard, token::ResponseRoute};
use crate::{body::EventWriter, relay_request::RelayRequest};

/// The requests that wait for an answer, each with its name, its method, and the id that the client was given.
type OpenRequests = HashMap<u64, (String, Method, RequestId)>;

impl ServerRequests {
    /// Sends a request of a legacy server to the client of a call; returns `false` if the client cannot be asked.
    pub(crate) async fn pass_on(
        &self,
        call: &RelayRequest,
        session_ref: Option<UpstreamSessionRef>,
        server_request: ServerRequest,
        (guard, key): (&WaitGuard, u64),
        writer: &EventWriter,
    ) -> bool {
        let to = match &server_request.key {
            ServerRequestKey::Id(id) => {
                let Some(session_ref) = session_ref else { return false };
                ResponseRoute::Server {
                    install: call.install.name,
                    session_ref,
                    id: id.as_raw().into(),
                }
            }
            ServerRequestKey::Channel(_) => ResponseRoute::Call {
                location: self.replicas.location(guard.handle),
                key,
            },
        };
        let Some(id) = self.mint_for(call, to) else {
            return false;
        };
        let message = envelope::request(&id, &server_request.method, server_request.params.as_deref());
        writer.event(&message).await;
        true
    }

    /// Asks the client of a call all of these, and returns what it answered, each under its name; `None` if the call was
    /// cancelled.
    pub(crate) async fn ask_all(
        &self,
        call: &RelayRequest,
        requests: Vec<(String, Method, Option<Bytes>)>,
        round: usize,
        guard: &mut WaitGuard,
        writer: &EventWriter,
        deadline: Instant,
    ) -> Result<Option<RawObject>> {
        if self.ending.is_cancelled() {
            return Err(call.failed(ends()));
        }
        let mut open = HashMap::new();
        for (at, (name, method, params)) in requests.into_iter().enumerate() {
            if !call.capabilities.permit(&method, params.as_ref()) {
                return Err(call.protocol_error("it asks what it was told that this client cannot answer"));
            }
            // Keys of different rounds differ, so that a late answer is not taken for another.
            let key = (round * MAX_SERVER_REQUESTS + at) as u64;
            let location = self.replicas.location(guard.handle);
            let id = self
                .mint_for(call, ResponseRoute::Call { location, key })
                .ok_or_else(|| call.protocol_error("its request cannot be passed on"))?;
            let params = legacy_params(call, &method, params, &id);
            writer.event(&envelope::request(&id, &method, params.as_deref())).await;
            open.insert(key, (name, method, id));
        }
        let answers = self.wait_for(call, &mut open, guard, deadline).await;
        if !matches!(answers, Ok(Some(_))) {
            take_back(&open, writer).await;
        }
        answers
    }

    /// Waits until all open requests are answered.
    async fn wait_for(
        &self,
        call: &RelayRequest,
        open: &mut OpenRequests,
        guard: &mut WaitGuard,
        deadline: Instant,
    ) -> Result<Option<RawObject>> {
        let mut answers = RawObject::new();
        let after = self.config.timeouts.server_request;
        let mut silence = std::pin::pin!(tokio::time::sleep_until(deadline.min(Instant::now() + after)));
        while !open.is_empty() {
            tokio::select! {
                (key, answer) = guard.next() => {
                    let Some((name, method, _)) = open.remove(&key) else { continue };
                    answers.set(&name, input_response(call, &method, answer)?);
                }
                () = call.cancelled() => return Ok(None),
                () = self.ending.cancelled() => return Err(call.failed(ends())),
                () = &mut silence => {
                    return Err(Error::Timeout { action: "the client's answer to a server request".into(), after });
                }
            }
        }
        Ok(Some(answers))
    }

    fn mint_for(&self, call: &RelayRequest, to: ResponseRoute) -> Option<RequestId> {
        let (session, _) = call.session.as_ref()?;
        self.mint(session.nonce(), to)
    }
}

/// The failure of a call whose answers nobody would be there to take.
fn ends() -> Failure {
    Failure::new(
        FailureKind::Stopped,
        "this replica of the gateway is about to end, and cannot wait for the client's answer",
    )
    .remedy("call again, if it may be done twice")
}

/// An answer in the form of `inputResponses`, which has no form for a refusal, except for a person's.
fn input_response(call: &RelayRequest, method: &Method, answer: RpcResponse) -> Result<Bytes> {
    match answer {
        RpcResponse::Result(raw) if raw.starts_with(b"{") => Ok(raw),
        RpcResponse::Error(_) if *method == Method::Elicit => Ok(Bytes::from_static(br#"{"action":"cancel"}"#)),
        _ => Err(call.failed(Failure::new(
            FailureKind::Protocol,
            format!("the client does not answer its {}", method.as_str()),
        ))),
    }
}

/// Tells the client that nobody waits for these answers any more.
async fn take_back(open: &OpenRequests, writer: &EventWriter) {
    for (_, _, id) in open.values() {
        let mut params = RawObject::new();
        params.set("requestId", id.to_bytes());
        params.set("reason", object::quote("the call is over"));
        writer
            .event(&envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
            .await;
    }
}

/// The params of a modern server's request in the client's version.
fn legacy_params(call: &RelayRequest, method: &Method, params: Option<Bytes>, id: &RequestId) -> Option<Bytes> {
    let Some((session, _)) = &call.session else {
        return params;
    };
    if *method != Method::Elicit {
        return params;
    }
    let mut members = RawObject::parse_checked(params.as_ref()?).ok()?;
    if session.version != ProtocolVersion::V2025_11_25 {
        members.remove("mode");
    } else if members.get("mode").is_some_and(|mode| mode == r#""url""#) && !members.contains("elicitationId") {
        // It has to have one, unique at the server (2025-11-25, client/elicitation); the request's own is.
        members.set("elicitationId", id.to_bytes());
    }
    Some(members.to_bytes())
}
