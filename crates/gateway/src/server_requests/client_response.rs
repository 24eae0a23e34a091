//! Responses of legacy clients to server requests: opened, checked, and delivered.

use bytes::Bytes;
use http::{Method as Verb, Response, StatusCode};
use portolan_client::{self as client, UpstreamSessionRef, failure, tasks};
use portolan_core::{InstallName, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    id::RequestId,
    object,
};

use super::{
    ServerRequests,
    token::{ResponseRoute, ServerRequestId},
};
use crate::{
    body::Body,
    reply::{self, Rejection},
    routing::RequestContext,
    seal::Purpose,
    sessions::Session,
    task_ids,
};

impl ServerRequests {
    /// Delivers a client's response: 202 if there was such a request, also if no call waits any more; 400 if there
    /// never was one in this session (2025-11-25, basic/transports: input that is not accepted).
    pub(crate) async fn take_response(
        &self,
        context: &RequestContext,
        session: &Session,
        response: envelope::Response,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let Some(to) = response.id.as_ref().and_then(|id| self.response_route(session, id)) else {
            return Err(Rejection::http(
                StatusCode::BAD_REQUEST,
                "no server request has this id in this session",
            ));
        };
        let rpc_response = match response.outcome {
            Outcome::Result(raw) => RpcResponse::Result(raw),
            Outcome::Error(raw) => RpcResponse::Error(raw),
        };
        match to {
            ResponseRoute::Call { location, key } if self.replicas.is_here(&location) => {
                self.waiting.deliver(&location.handle, key, rpc_response);
            }
            ResponseRoute::Call { location, .. } => {
                let forwarded = self.replicas.forward(context, Verb::POST, &location, text);
                return forwarded.await.map_err(|lost| lost.refusal());
            }
            ResponseRoute::Server {
                install,
                session_ref,
                id,
            } => {
                let sent = self
                    .send_to_server(context, &install, &session_ref, &id, &rpc_response)
                    .await;
                if let Err(error) = sent {
                    tracing::warn!(%error, "a client's response could not be sent to its server");
                    let error = failure::error_object(&error);
                    return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error));
                }
            }
        }
        Ok(reply::accepted())
    }

    fn response_route(&self, session: &Session, id: &RequestId) -> Option<ResponseRoute> {
        let raw = id.to_bytes();
        let sealed = object::text(&raw)?;
        let opened = ServerRequestId::decode(&self.keys.open(Purpose::ServerRequest, &sealed)?)?;
        (opened.session == session.nonce()).then_some(opened.to)
    }

    /// Replaces the client's task id in a response by the server's id.
    fn with_server_task_id(&self, context: &RequestContext, rpc_response: &RpcResponse) -> RpcResponse {
        let RpcResponse::Result(raw) = rpc_response else {
            return rpc_response.clone();
        };
        let server_id = |id: &str| Some(object::quote(&task_ids::find(context, &self.keys, id)?.id));
        RpcResponse::Result(tasks::rename_related(raw, server_id).unwrap_or_else(|| raw.clone()))
    }

    /// Sends a response to a legacy server, whichever replica received its request.
    async fn send_to_server(
        &self,
        context: &RequestContext,
        install: &InstallName,
        session_ref: &UpstreamSessionRef,
        id: &[u8],
        rpc_response: &RpcResponse,
    ) -> Result<()> {
        let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(id)) else {
            return Ok(());
        };
        let Some(place) = context.gateway.place(install, &context.caller) else {
            // The install was removed from the gateway in the meantime.
            return Ok(());
        };
        let credential = self.resolver.credential(context, place, None).await?;
        let message = client::response(&id, &self.with_server_task_id(context, rpc_response));
        place
            .0
            .upstream(place.1)
            .notify(session_ref, &credential, message)
            .await
    }
}
