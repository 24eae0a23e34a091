//! What a legacy client answers: opened, checked, and brought to who waits for it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method as Verb, Response, StatusCode};
use portolan_core::{CredentialContext, InstallName, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    id::RequestId,
    object,
};

use super::token::{ResponseRoute, ServerRequestId, UpstreamSessionRef};
use crate::{
    body::Body,
    reply::{self, Rejection},
    request_context::RequestContext,
    seal::Purpose,
    service::Inner,
    session::Session,
    tasks, upstream,
};

impl Inner {
    /// Takes a client's answer to a question: 202 if there was such a question, also if nobody waits any more; 400 if there
    /// never was in this session (2025-11-25, basic/transports: input that is not accepted).
    pub(crate) async fn take_answer(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        session: &Arc<Session>,
        response: envelope::Response,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let server_request = response.id.as_ref().and_then(|id| self.server_request(session, id));
        let Some(server_request) = server_request else {
            return Err(Rejection::http(
                StatusCode::BAD_REQUEST,
                "nothing was asked under this id in this session",
            ));
        };
        let answer = match response.outcome {
            Outcome::Result(raw) => RpcResponse::Result(raw),
            Outcome::Error(raw) => RpcResponse::Error(raw),
        };
        match server_request {
            ResponseRoute::Call { place, key } if self.server_requests.is_here(&place) => {
                self.server_requests.waiting.answer(&place.handle, key, answer);
            }
            ResponseRoute::Call { place, .. } => {
                return self
                    .forward(context, Verb::POST, &place, text)
                    .await
                    .map_err(|lost| lost.refusal());
            }
            ResponseRoute::Server {
                install,
                session_ref,
                id,
            } => {
                if let Err(error) = self.tell(context, &install, &session_ref, &id, &answer).await {
                    tracing::warn!(%error, "an answer of a client did not reach its server");
                    let error = reply::error_object(&error);
                    return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error));
                }
            }
        }
        Ok(reply::accepted())
    }

    fn server_request(&self, session: &Session, id: &RequestId) -> Option<ResponseRoute> {
        let raw = id.to_bytes();
        let sealed = object::text(&raw)?;
        let server_request = ServerRequestId::decode(&self.keys.open(Purpose::ServerRequest, &sealed)?)?;
        (server_request.session == session.nonce()).then_some(server_request.to)
    }

    /// An answer that names the task which it belongs to, with the server's id of that.
    fn of_own_task(&self, context: &RequestContext, answer: &RpcResponse) -> RpcResponse {
        let RpcResponse::Result(raw) = answer else {
            return answer.clone();
        };
        let own = |id: &str| Some(object::quote(&tasks::find(context, &self.keys, id)?.id));
        RpcResponse::Result(tasks::renamed(raw, own).unwrap_or_else(|| raw.clone()))
    }

    /// Brings an answer to a legacy server, in whichever replica its question came.
    async fn tell(
        &self,
        context: &RequestContext,
        install: &InstallName,
        session_ref: &UpstreamSessionRef,
        id: &[u8],
        answer: &RpcResponse,
    ) -> Result<()> {
        let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(id)) else {
            return Ok(());
        };
        let Some((server, mounted)) = context.gateway.mounted(install, &context.caller) else {
            // It was taken out of the gateway in the meantime.
            return Ok(());
        };
        let wanted =
            CredentialContext::new(&context.caller, server, &mounted.install).with_gateway(&context.gateway.spec.name);
        let credential = self.broker.credential(&wanted).await?;
        let answer = &self.of_own_task(context, answer);
        mounted
            .upstream
            .tell(session_ref, &credential, upstream::response(&id, answer))
            .await
    }
}
