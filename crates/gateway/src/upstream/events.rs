//! An answer that is a stream of events: notifications pass, the response is converted.

mod machine;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use portolan_core::{BoxError, Result};
use portolan_wire::{
    envelope::{self, Message, Outcome},
    sse,
};

use self::machine::Machine;
use super::{
    Reply,
    cancel::Unanswered,
    connection::Driven,
    convert::Conversion,
    http::{HttpUpstream, over_before_answer},
    json,
    patience::{Over, Patience},
};
use crate::{
    body::Body,
    intake::{self, essence},
};

/// How long the head of a reply is held back to see whether the first event is the answer.
const HOLD: Duration = Duration::from_secs(5);
/// How long the end of a stream is waited for after the answer, so that its connection can be used again.
const LINGER: Duration = Duration::from_secs(1);

/// Relays an answer that comes as events. A stream that begins with the answer becomes a plain JSON reply.
pub(crate) async fn relay(
    body: Driven,
    http: Arc<HttpUpstream>,
    conversion: Conversion,
    unanswered: Unanswered,
    patience: Patience,
) -> Result<Reply> {
    let limits = http.limits();
    let machine = Machine::new(conversion, limits.held_bytes, limits.message_bytes);
    let mut relay = EventRelay {
        body: Some(body),
        machine,
        http,
        unanswered,
        patience,
        over: false,
    };
    let held = tokio::time::timeout(HOLD, relay.first()).await;
    match held {
        Ok(Err(over)) => {
            relay
                .unanswered
                .cancel("the answer took too long, or was not wanted any more");
            over_before_answer(over)
        }
        Ok(Ok(())) => match relay.machine.sole_answer() {
            Some(message) => {
                relay.linger();
                Ok(Reply::Message(message))
            }
            None => Ok(Reply::Events(Body::relayed(relay))),
        },
        Err(_) => Ok(Reply::Events(Body::relayed(relay))),
    }
}

/// The one message that answers a small request, of a JSON body or an event stream.
pub(crate) async fn message(headers: &HeaderMap, mut body: Driven, limit: usize) -> Option<Bytes> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !essence(content_type).eq_ignore_ascii_case("text/event-stream") {
        return intake::collect(body, limit).await.ok();
    }
    let mut decoder = sse::Decoder::new(limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next_event().ok()? {
            if outcome(&event.data).is_some() {
                return Some(event.data);
            }
        }
    }
    None
}

/// What a response says.
pub(crate) fn outcome(text: &Bytes) -> Option<Outcome> {
    match envelope::parse(text, &envelope::Limits { depth: 1024, batch: 1 }) {
        Ok(envelope::Incoming::One(Message::Response(response))) => Some(response.outcome),
        _ => None,
    }
}

#[derive(Debug)]
struct EventRelay {
    body: Option<Driven>,
    machine: Machine,
    http: Arc<HttpUpstream>,
    unanswered: Unanswered,
    patience: Patience,
    over: bool,
}

impl EventRelay {
    /// Reads until there is something for the client, or nothing will come.
    async fn first(&mut self) -> Result<(), Over> {
        while !self.machine.has_output() && !self.over {
            let Some(body) = &mut self.body else { return Ok(()) };
            let frame = self.patience.wait(body.frame()).await?;
            self.take(frame);
        }
        Ok(())
    }

    /// Takes one step of the server's stream.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, hyper::Error>>) {
        match frame {
            Some(Ok(frame)) => {
                self.patience.renew();
                if let Ok(data) = frame.into_data() {
                    self.machine.push(data);
                }
            }
            Some(Err(_)) | None => self.machine.end(),
        }
        for reply in self.machine.replies() {
            self.unanswered.reply(reply);
        }
        if self.machine.is_over() {
            self.unanswered.answered();
            self.over = true;
            self.linger();
        }
    }

    /// Waits for the end of the server's stream elsewhere, for a while.
    fn linger(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        if body.is_end_stream() {
            return;
        }
        self.http.tasks().spawn(async move {
            let drain = async { while let Some(Ok(_)) = body.frame().await {} };
            let _ = tokio::time::timeout(LINGER, drain).await;
        });
    }

    fn give_up(&mut self, over: Over) {
        match over {
            Over::Timeout(error) => {
                self.unanswered.cancel("the answer took too long");
                self.machine.fail(&error);
            }
            Over::Cancelled => self.unanswered.cancel("the client has cancelled"),
        }
        self.over = true;
        self.body = None;
    }
}

impl HttpBody for EventRelay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(data) = this.machine.pop() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(fault) = this.machine.broken() {
                this.over = true;
                tracing::warn!(error = %fault, "an answer broke off on its way");
                return Poll::Ready(Some(Err(fault)));
            }
            let (false, Some(body)) = (this.over, &mut this.body) else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => this.take(frame),
                Poll::Pending => {
                    let over = std::task::ready!(this.patience.poll(cx));
                    this.give_up(over);
                }
            }
        }
    }
}

pub(super) use json::{broke_off, is_ours, whole};
