//! The body of a notification stream.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::BoxError;
use portolan_wire::sse;
use tokio::time::Sleep;

use super::queue::{End, Next, Reader};
use crate::replay::EventIdPrefix;

/// Streams the messages of a [`Reader`] as events.
#[derive(Debug)]
pub(crate) struct StreamBody {
    reader: Option<Reader>,
    /// Sent at once.
    first: Option<Bytes>,
    /// The last message of a graceful end.
    last: Option<Bytes>,
    /// The prefix of event ids, if events have ids.
    prefix: Option<EventIdPrefix>,
    /// Wakes when a delayed message is due.
    timer: Option<Pin<Box<Sleep>>>,
}

impl StreamBody {
    pub(crate) fn new(reader: Reader, first: Bytes) -> Self {
        Self {
            reader: Some(reader),
            first: Some(first),
            last: None,
            prefix: None,
            timer: None,
        }
    }

    /// Sends this message at a graceful end.
    pub(crate) fn ending_with(mut self, last: Bytes) -> Self {
        self.last = Some(last);
        self
    }

    /// Gives the events ids.
    pub(crate) fn with_ids(mut self, prefix: Option<EventIdPrefix>) -> Self {
        self.prefix = prefix;
        self
    }
}

fn data(data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    Poll::Ready(Some(Ok(Frame::data(data))))
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return data(first);
        }
        loop {
            let Some(reader) = &this.reader else {
                return Poll::Ready(None);
            };
            let due = match reader.next(cx) {
                Next::Message(number, message) => {
                    return data(match &this.prefix {
                        Some(prefix) => sse::event_with_id(&prefix.id(number, None), &message),
                        None => sse::event(&message),
                    });
                }
                Next::End(end) => {
                    this.reader = None;
                    match this.last.take().filter(|_| end == End::Graceful) {
                        Some(last) => return data(sse::event(&last)),
                        None => return Poll::Ready(None),
                    }
                }
                Next::Pending(None) => return Poll::Pending,
                Next::Pending(Some(due)) => due,
            };
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            std::task::ready!(timer.as_mut().poll(cx));
        }
    }
}
