//! The body of a stream outside of calls.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::BoxError;
use portolan_wire::sse;
use tokio::time::{Instant, Sleep};

use super::outbox::{End, Next, Reader};

/// Events as they come, and comments where none come for long.
#[derive(Debug)]
pub(crate) struct StreamBody {
    reader: Option<Reader>,
    /// What is sent at once.
    first: Option<Bytes>,
    /// What is said at a graceful end.
    last: Option<Bytes>,
    keep_alive: Duration,
    quiet_since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl StreamBody {
    pub(crate) fn new(reader: Reader, first: Bytes, last: Option<Bytes>, keep_alive: Duration) -> Self {
        // An hour without a comment is as good as none at all, and far within what timers can count.
        let keep_alive = keep_alive.clamp(Duration::from_millis(10), Duration::from_secs(3600));
        Self {
            reader: Some(reader),
            first: Some(first),
            last,
            keep_alive,
            quiet_since: Instant::now(),
            timer: Box::pin(tokio::time::sleep(keep_alive)),
        }
    }

    fn data(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.quiet_since = Instant::now();
        Poll::Ready(Some(Ok(Frame::data(data))))
    }
}

impl HttpBody for StreamBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return this.data(first);
        }
        loop {
            let Some(reader) = &this.reader else {
                return Poll::Ready(None);
            };
            let later = match reader.next(cx) {
                Next::Message(message) => return this.data(sse::event(&message)),
                Next::End(end) => {
                    this.reader = None;
                    match this.last.take().filter(|_| end == End::Graceful) {
                        Some(last) => return this.data(sse::event(&last)),
                        None => return Poll::Ready(None),
                    }
                }
                Next::Nothing(later) => later,
            };
            let comment = this.quiet_since + this.keep_alive;
            let until = later.map_or(comment, |later| later.min(comment));
            if this.timer.deadline() != until {
                this.timer.as_mut().reset(until);
            }
            std::task::ready!(this.timer.as_mut().poll(cx));
            if Instant::now() >= comment {
                return this.data(Bytes::from_static(sse::COMMENT));
            }
        }
    }
}
