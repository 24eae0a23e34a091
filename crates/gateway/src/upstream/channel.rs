//! A server that is reached through the owner of its pipes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::{Answer, BoxError, Channel, ChannelNotification, ChannelRequest, Exchange, ExchangeEvent, Result};
use portolan_wire::{
    envelope::{self, Outcome},
    era::Era,
    method::Method,
    sse,
};
use tokio_util::task::TaskTracker;

use super::{
    Link, Outgoing, Reply,
    cancel::HangingUp,
    convert::{self, Conversion},
    http::over_before_answer,
    patience::{Over, Patience},
};
use crate::body::Body;

/// Sends a request through a channel and gives what comes back, in the client's era.
pub(super) async fn call(upstream: &Link, channel: &Arc<dyn Channel>, outgoing: &Outgoing<'_>) -> Result<Reply> {
    let mut patience = upstream.patience(&outgoing.client);
    let hello = match patience.wait(channel.hello()).await {
        Ok(hello) => hello?,
        Err(over) => return over_before_answer(over),
    };
    let era = if hello.modern { Era::Modern } else { Era::Legacy };
    let params = convert::params(outgoing, era, &upstream.server, &upstream.config().name);
    // Silence is watched here; the channel only has to know when to forget.
    let timeout = upstream.config().timeouts.call_total;
    let request = ChannelRequest::new(outgoing.method.as_str(), Some(params.to_bytes()), timeout);
    let conversion = Conversion::new(outgoing, era, outgoing.id.clone(), &upstream.server);
    let exchange = match patience.wait(channel.call(request)).await {
        Ok(exchange) => exchange?,
        Err(over) => return over_before_answer(over),
    };
    let tasks = upstream.connector.tasks.clone();
    let mut held = Held {
        exchange: Some(exchange),
        hanging_up: outgoing.client.hanging_up(),
        tasks,
    };
    let first = loop {
        match patience.wait(held.next()).await {
            Err(over) => {
                held.exchange = None;
                return over_before_answer(over);
            }
            Ok(Some(ExchangeEvent::Answer(answer))) => {
                held.exchange = None;
                return answer.map(|answer| Reply::Message(message(answer, &conversion)));
            }
            Ok(Some(ExchangeEvent::Notification(notification))) => {
                patience.renew();
                if let Some(event) = event(&notification) {
                    break event;
                }
            }
            Ok(Some(ExchangeEvent::Question(_))) => {}
            Ok(_) => return Err(conversion.odd("its owner is gone")),
        }
    };
    let first = Some(first);
    Ok(Reply::Events(Body::relayed(ChannelRelay {
        first,
        held,
        conversion,
        patience,
    })))
}

fn message(answer: Answer, conversion: &Conversion) -> Bytes {
    let outcome = match answer {
        Answer::Result(raw) => Outcome::Result(raw),
        Answer::Error(raw) => Outcome::Error(raw),
    };
    conversion.message(&outcome, None)
}

/// The event for a notification that belongs to a call.
fn event(notification: &ChannelNotification) -> Option<Bytes> {
    let method = Method::parse(&notification.method);
    matches!(method, Method::Progress | Method::LogMessage)
        .then(|| sse::event(&envelope::notification(&method, notification.params.as_deref())))
}

/// An exchange that goes on without its client where the client's era wants that.
#[derive(Debug)]
struct Held {
    exchange: Option<Exchange>,
    hanging_up: HangingUp,
    tasks: TaskTracker,
}

impl Held {
    async fn next(&mut self) -> Option<ExchangeEvent> {
        self.exchange.as_mut()?.next().await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<ExchangeEvent>> {
        match &mut self.exchange {
            Some(exchange) => exchange.poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // For legacy clients a lost connection is no cancellation (2025-11-25, basic/transports): the call runs on.
        if let HangingUp::CancelsIf(cancelled) = &self.hanging_up
            && !cancelled.is_cancelled()
            && let Some(exchange) = self.exchange.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.tasks
                .spawn_on(async move { drop(exchange.answer().await) }, &runtime);
        }
    }
}

/// Notifications as they come, then the answer.
#[derive(Debug)]
struct ChannelRelay {
    first: Option<Bytes>,
    held: Held,
    conversion: Conversion,
    patience: Patience,
}

impl ChannelRelay {
    fn finish(&mut self, message: &Bytes) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.held.exchange = None;
        Poll::Ready(Some(Ok(Frame::data(sse::event(message)))))
    }
}

impl HttpBody for ChannelRelay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if this.held.exchange.is_none() {
            return Poll::Ready(None);
        }
        loop {
            match this.held.poll_next(cx) {
                Poll::Ready(Some(ExchangeEvent::Notification(notification))) => {
                    this.patience.renew();
                    if let Some(event) = event(&notification) {
                        return Poll::Ready(Some(Ok(Frame::data(event))));
                    }
                }
                Poll::Ready(Some(ExchangeEvent::Question(_))) => {}
                Poll::Ready(Some(ExchangeEvent::Answer(Ok(answer)))) => {
                    let message = message(answer, &this.conversion);
                    return this.finish(&message);
                }
                Poll::Ready(Some(ExchangeEvent::Answer(Err(error)))) => {
                    let message = this.conversion.failure(&error);
                    return this.finish(&message);
                }
                Poll::Ready(_) => {
                    let message = this.conversion.failure(&this.conversion.odd("its owner is gone"));
                    return this.finish(&message);
                }
                Poll::Pending => match std::task::ready!(this.patience.poll(cx)) {
                    Over::Timeout(error) => {
                        let message = this.conversion.failure(&error);
                        return this.finish(&message);
                    }
                    Over::Cancelled => {
                        this.held.exchange = None;
                        return Poll::Ready(None);
                    }
                },
            }
        }
    }
}
