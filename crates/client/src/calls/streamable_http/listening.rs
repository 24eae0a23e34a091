//! A call that is heard before its answer has begun: some servers ask on another stream, and answer in JSON in the end.

use std::{pin::pin, task::Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use portolan_core::Result;
use portolan_wire::envelope::Message;

use crate::{
    calls::{
        in_flight::InFlightCall,
        streamable_http::{HttpUpstream, pending_head::PendingHead},
        timeout::WaitError,
    },
    http1::body::ResponseBody,
    request::UpstreamRequest,
};

/// What comes first of a call that was sent.
pub(crate) enum FirstEvent {
    /// The head of its answer.
    AnswerHead(Result<Response<ResponseBody>>),
    /// Something that the server says beside it.
    Converted(PendingHead, Message),
}

impl HttpUpstream {
    /// Sends a call, and waits for what comes first.
    pub(crate) async fn send_listening(
        &self,
        http_request: Box<Request<Bytes>>,
        request: &UpstreamRequest<'_>,
        in_flight: &mut InFlightCall,
    ) -> Result<FirstEvent, WaitError> {
        let InFlightCall {
            cancel_on_drop,
            timeout,
            ..
        } = in_flight;
        let mut sending: BoxFuture<'static, _> = {
            let (http, credential) = (self.http.clone(), request.credential.clone());
            Box::pin(async move { http.send(http_request, &credential).await })
        };
        let first = std::future::poll_fn(|cx| {
            if let Poll::Ready(head) = sending.as_mut().poll(cx) {
                return Poll::Ready(Err(head));
            }
            cancel_on_drop.poll_said(cx).map(Ok)
        });
        Ok(match timeout.wait(pin!(first)).await? {
            Err(head) => FirstEvent::AnswerHead(head),
            Ok(said) => FirstEvent::Converted(PendingHead::new(self.http.clone(), sending), said),
        })
    }
}
