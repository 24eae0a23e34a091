//! A call that is heard before its answer has begun: some servers ask on another stream, and answer in JSON in the end.

use std::{fmt, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, StatusCode};
use portolan_core::Result;
use portolan_wire::envelope::Message;

use super::{HttpUpstream, is_events};
use crate::{
    intake,
    upstream::{Outgoing, connection::Driven, events, patience::Over, underway::Underway},
};

/// What comes first of a call that was sent.
pub(super) enum Sent {
    /// The head of its answer.
    Head(Result<Response<Driven>>),
    /// Something that the server says beside it.
    Said(Heading, Message),
}

/// An answer whose head is not there yet.
pub(crate) struct Heading(BoxFuture<'static, Result<Head>>);

/// What its head says.
pub(crate) enum Head {
    /// That events follow.
    Events(Box<Driven>),
    /// One JSON text, whole.
    Whole(Bytes),
}

impl HttpUpstream {
    /// Sends a call, and waits for what comes first.
    pub(super) async fn send_hearing(
        self: &Arc<Self>,
        request: Box<Request<Bytes>>,
        outgoing: &Outgoing<'_>,
        underway: &mut Underway,
    ) -> Result<Sent, Over> {
        let Underway {
            unanswered, patience, ..
        } = underway;
        let mut sending: BoxFuture<'static, _> = {
            let (http, credential) = (self.clone(), outgoing.credential.clone());
            Box::pin(async move { http.send(request, &credential).await })
        };
        let first = std::future::poll_fn(|cx| {
            if let Poll::Ready(head) = sending.as_mut().poll(cx) {
                return Poll::Ready(Err(head));
            }
            unanswered.poll_said(cx).map(Ok)
        });
        Ok(match patience.wait(pin!(first)).await? {
            Err(head) => Sent::Head(head),
            Ok(said) => {
                let http = self.clone();
                let heading = async move { http.head(sending.await?).await };
                Sent::Said(Heading(Box::pin(heading)), said)
            }
        })
    }

    async fn head(&self, response: Response<Driven>) -> Result<Head> {
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK && is_events(&head.headers) {
            return Ok(Head::Events(Box::new(body)));
        }
        match intake::collect(body, self.limits().held_bytes).await {
            // An error may come under any status.
            Ok(text) if head.status == StatusCode::OK || events::outcome(&text).is_some() => Ok(Head::Whole(text)),
            _ => Err(self.refused_with(head.status)),
        }
    }
}

impl Heading {
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> Poll<Result<Head>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Heading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Heading")
    }
}
