//! What a legacy client answers: opened, checked, and brought to who waits for it.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method as Verb, Response, StatusCode};
use portolan_core::{InstallName, Result, RpcResponse};
use portolan_wire::{
    envelope::{self, Outcome},
    id::RequestId,
    object,
};

use super::token::{QuestionId, Seat, To};
use crate::{
    body::Body,
    reply::{self, Rejection},
    seal::Purpose,
    service::Inner,
    session::Session,
    tasks, upstream,
    visit::Visit,
};

impl Inner {
    /// Takes a client's answer to a question: 202 if there was such a question, also if nobody waits any more; 400 if there
    /// never was in this session (2025-11-25, basic/transports: input that is not accepted).
    pub(crate) async fn take_answer(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
        session: &Arc<Session>,
        response: envelope::Response,
        text: Bytes,
    ) -> Result<Response<Body>, Rejection> {
        let question = response.id.as_ref().and_then(|id| self.question(session, id));
        let Some(question) = question else {
            return Err(Rejection::http(
                StatusCode::BAD_REQUEST,
                "nothing was asked under this id in this session",
            ));
        };
        let answer = match response.outcome {
            Outcome::Result(raw) => RpcResponse::Result(raw),
            Outcome::Error(raw) => RpcResponse::Error(raw),
        };
        match question {
            To::Call { place, key } if self.questions.is_here(&place) => {
                self.questions.waiting.answer(&place.handle, key, answer);
            }
            To::Call { place, .. } => {
                return self
                    .hop(visit, Verb::POST, &place, text)
                    .await
                    .map_err(|lost| lost.refusal());
            }
            To::Server { install, seat, id } => {
                if let Err(error) = self.tell(visit, &install, &seat, &id, &answer).await {
                    tracing::warn!(%error, "an answer of a client did not reach its server");
                    let error = reply::error_object(&error);
                    return Err(Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error));
                }
            }
        }
        Ok(reply::accepted())
    }

    fn question(&self, session: &Session, id: &RequestId) -> Option<To> {
        let raw = id.to_bytes();
        let sealed = object::text(&raw)?;
        let question = QuestionId::decode(&self.keys.open(Purpose::Question, &sealed)?)?;
        (question.session == session.nonce()).then_some(question.to)
    }

    /// An answer that names the task which it belongs to, with the server's id of that.
    fn of_own_task(&self, visit: &Visit, answer: &RpcResponse) -> RpcResponse {
        let RpcResponse::Result(raw) = answer else {
            return answer.clone();
        };
        let own = |id: &str| Some(object::quote(&tasks::find(visit, &self.keys, id)?.id));
        RpcResponse::Result(tasks::renamed(raw, own).unwrap_or_else(|| raw.clone()))
    }

    /// Brings an answer to a legacy server, in whichever replica its question came.
    async fn tell(
        &self,
        visit: &Visit,
        install: &InstallName,
        seat: &Seat,
        id: &[u8],
        answer: &RpcResponse,
    ) -> Result<()> {
        let Ok(id) = RequestId::parse(&Bytes::copy_from_slice(id)) else {
            return Ok(());
        };
        let Some((server, mounted)) = visit.gateway.mounted(install, &visit.caller) else {
            // It was taken out of the gateway in the meantime.
            return Ok(());
        };
        let credential = self.broker.credential(&visit.caller, server, &mounted.install).await?;
        let answer = &self.of_own_task(visit, answer);
        mounted
            .upstream
            .tell(seat, &credential, upstream::response(&id, answer))
            .await
    }
}
