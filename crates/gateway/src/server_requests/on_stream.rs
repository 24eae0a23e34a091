//! Server requests to legacy clients: JSON-RPC requests on the stream of the call.

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

/// Requests without a response yet, by key: name, method, and the id given to the client.
type OpenRequests = HashMap<u64, (String, Method, RequestId)>;

impl ServerRequests {
    /// Sends a request of a legacy server to the client of a call; returns `false` if the client cannot be asked.
    pub(crate) async fn relay_request(
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
        let Some(id) = self.seal_request_id_for(call, to) else {
            return false;
        };
        let message = envelope::request(&id, &server_request.method, server_request.params.as_deref());
        writer.event(&message).await;
        true
    }

    /// Sends these requests to the client of a call, and returns its responses by name; `None` if the call was
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
        if self.shutdown.is_cancelled() {
            return Err(call.failed(shutting_down()));
        }
        let mut open = HashMap::new();
        for (at, (name, method, params)) in requests.into_iter().enumerate() {
            if !call.capabilities.permit(&method, params.as_ref()) {
                return Err(call.protocol_error("it sent a request that this client has not declared support for"));
            }
            // Keys of different rounds differ, so that a late response is not taken for another.
            let key = (round * MAX_SERVER_REQUESTS + at) as u64;
            let location = self.replicas.location(guard.handle);
            let id = self
                .seal_request_id_for(call, ResponseRoute::Call { location, key })
                .ok_or_else(|| call.protocol_error("its request cannot be relayed"))?;
            let params = legacy_params(call, &method, params, &id);
            writer.event(&envelope::request(&id, &method, params.as_deref())).await;
            open.insert(key, (name, method, id));
        }
        let responses = self.wait_for(call, &mut open, guard, deadline).await;
        if !matches!(responses, Ok(Some(_))) {
            cancel_requests(&open, writer).await;
        }
        responses
    }

    /// Waits until all open requests have a response.
    async fn wait_for(
        &self,
        call: &RelayRequest,
        open: &mut OpenRequests,
        guard: &mut WaitGuard,
        deadline: Instant,
    ) -> Result<Option<RawObject>> {
        let mut responses = RawObject::new();
        let after = self.config.timeouts.server_request;
        let mut timeout = std::pin::pin!(tokio::time::sleep_until(deadline.min(Instant::now() + after)));
        while !open.is_empty() {
            tokio::select! {
                (key, response) = guard.next() => {
                    let Some((name, method, _)) = open.remove(&key) else { continue };
                    responses.set(&name, input_response(call, &method, response)?);
                }
                () = call.cancelled() => return Ok(None),
                () = self.shutdown.cancelled() => return Err(call.failed(shutting_down())),
                () = &mut timeout => {
                    return Err(Error::Timeout { action: "the client's response to a server request".into(), after });
                }
            }
        }
        Ok(Some(responses))
    }

    fn seal_request_id_for(&self, call: &RelayRequest, to: ResponseRoute) -> Option<RequestId> {
        let (session, _) = call.session.as_ref()?;
        self.seal_request_id(session.nonce(), to)
    }
}

/// Returns the failure of a call whose responses this replica can no longer receive.
fn shutting_down() -> Failure {
    Failure::new(
        FailureKind::Stopped,
        "this replica of the gateway is shutting down and cannot wait for the client's response",
    )
    .remedy("call again, if it may be done twice")
}

/// Converts a response to a member of `inputResponses`, which has no form for an error, except for an elicitation.
fn input_response(call: &RelayRequest, method: &Method, response: RpcResponse) -> Result<Bytes> {
    match response {
        RpcResponse::Result(raw) if raw.starts_with(b"{") => Ok(raw),
        RpcResponse::Error(_) if *method == Method::Elicit => Ok(Bytes::from_static(br#"{"action":"cancel"}"#)),
        _ => Err(call.failed(Failure::new(
            FailureKind::Protocol,
            format!("the client returned no valid result for its {}", method.as_str()),
        ))),
    }
}

/// Cancels the open requests at the client.
async fn cancel_requests(open: &OpenRequests, writer: &EventWriter) {
    for (_, _, id) in open.values() {
        let mut params = RawObject::new();
        params.set("requestId", id.to_bytes());
        params.set("reason", object::quote("the call has ended"));
        writer
            .event(&envelope::notification(&Method::Cancelled, Some(&params.to_bytes())))
            .await;
    }
}

/// Converts the params of a modern server's request to the client's version.
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
        // Required, and unique at the server (2025-11-25, client/elicitation); the request's own id is unique.
        members.set("elicitationId", id.to_bytes());
    }
    Some(members.to_bytes())
}
