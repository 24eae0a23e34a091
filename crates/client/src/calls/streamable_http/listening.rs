//! A call that is heard before its answer has begun: some servers ask on another stream, and answer in JSON in the end.

use std::{fmt, pin::pin, task::Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use portolan_core::Result;
use portolan_wire::envelope::Message;

use crate::{
    calls::{in_flight::InFlightCall, streamable_http::HttpUpstream, timeout::WaitError},
    collect,
    collect::is_events,
    http_server::HttpServer,
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

/// An answer whose head is not there yet.
pub(crate) struct PendingHead(BoxFuture<'static, Result<AnswerHead>>);

/// What its head says.
pub(crate) enum AnswerHead {
    /// That events follow.
    Events(Box<ResponseBody>),
    /// One JSON text, whole.
    Whole(Bytes),
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
            Ok(said) => {
                let http = self.http.clone();
                let heading = async move { AnswerHead::read(&http, sending.await?).await };
                FirstEvent::Converted(PendingHead(Box::pin(heading)), said)
            }
        })
    }
}

impl AnswerHead {
    /// Reads an answer up to where it is known what it is.
    async fn read(http: &HttpServer, response: Response<ResponseBody>) -> Result<Self> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK && is_events(&head.headers) {
            return Ok(Self::Events(Box::new(body)));
        }
        match collect::body(body, http.limits().held_bytes).await {
            // An error may come under any status.
            Ok(text) if head.status == StatusCode::OK || collect::outcome(&text).is_some() => Ok(Self::Whole(text)),
            _ => Err(http.refused_with(head.status)),
        }
    }
}

impl PendingHead {
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<AnswerHead>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for PendingHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heading")
    }
}
