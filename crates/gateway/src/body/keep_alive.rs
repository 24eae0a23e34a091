//! Sends comments on idle streams, so that proxies do not close them.

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

/// A stream of events that sends a comment after a time without data.
///
/// The timer is created when the stream first waits, and reset only when it fires, so that a busy stream pays nothing
/// for it.
#[derive(Debug)]
pub(crate) struct KeepAliveBody<B> {
    body: B,
    /// The interval of comments; `None` for no comments.
    interval: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the stream became idle.
    idle_since: Option<Instant>,
    /// Whether the stream is between two events.
    between_events: bool,
}

impl<B> KeepAliveBody<B> {
    /// Sends a comment after each `interval` without data; none if it is zero.
    pub(crate) fn new(body: B, interval: Duration) -> Self {
        Self {
            body,
            // Capped at an hour, far below the limit of timers.
            interval: (!interval.is_zero()).then(|| interval.min(Duration::from_secs(3600))),
            timer: None,
            idle_since: None,
            between_events: true,
        }
    }

    /// Resolves when a comment is due.
    fn poll_comment(&mut self, cx: &mut Context<'_>, interval: Duration) -> Poll<()> {
        let mut due = *self.idle_since.get_or_insert_with(Instant::now) + interval;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due {
                self.idle_since = Some(now);
                due = now + interval;
                timer.as_mut().reset(due);
                if self.between_events {
                    return Poll::Ready(());
                }
            } else {
                // Data arrived since the timer was set.
                timer.as_mut().reset(due);
            }
        }
    }
}

impl<B: HttpBody<Data = Bytes, Error = BoxError> + Unpin> HttpBody for KeepAliveBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.idle_since = None;
            if let Some(Ok(frame)) = &frame {
                this.between_events = frame.data_ref().is_none_or(|data| data.ends_with(sse::EVENT_END));
            }
            return Poll::Ready(frame);
        }
        let Some(interval) = this.interval else {
            return Poll::Pending;
        };
        std::task::ready!(this.poll_comment(cx, interval));
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(sse::COMMENT)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    const INTERVAL: Duration = Duration::from_millis(60);

    type Chunks = mpsc::UnboundedSender<&'static str>;

    fn stream(
        interval: Duration,
    ) -> (
        Chunks,
        KeepAliveBody<impl HttpBody<Data = Bytes, Error = BoxError> + Unpin>,
    ) {
        let (sender, mut chunks) = mpsc::unbounded_channel();
        let frames = futures_util::stream::poll_fn(move |cx| {
            let chunk: Poll<Option<&str>> = chunks.poll_recv(cx);
            chunk.map(|chunk| chunk.map(|chunk| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())))))
        });
        (sender, KeepAliveBody::new(StreamBody::new(frames), interval))
    }

    async fn next(body: &mut (impl HttpBody<Data = Bytes, Error = BoxError> + Unpin)) -> (String, Duration) {
        let since = Instant::now();
        let frame = body.frame().await.expect("no end").expect("no fault");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
        (text, since.elapsed())
    }

    #[tokio::test]
    async fn idle_stream_gets_comments() {
        let (chunks, mut body) = stream(INTERVAL);
        for _ in 0..3 {
            let (comment, after) = next(&mut body).await;
            assert_eq!(comment, ":\n\n");
            assert!(after >= INTERVAL, "{after:?}");
        }
        chunks.send("data: x\n\n").expect("read");
        assert_eq!(next(&mut body).await.0, "data: x\n\n");
        let (comment, after) = next(&mut body).await;
        assert_eq!(comment, ":\n\n");
        assert!(after >= INTERVAL, "the interval restarts: {after:?}");
        drop(chunks);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn no_comment_within_event() {
        let (chunks, mut body) = stream(INTERVAL);
        chunks.send("data: {").expect("read");
        assert_eq!(next(&mut body).await.0, "data: {");
        let waited = tokio::time::timeout(4 * INTERVAL, next(&mut body)).await;
        assert!(waited.is_err());
        chunks.send("}\n\n").expect("read");
        assert_eq!(next(&mut body).await.0, "}\n\n");
        assert_eq!(next(&mut body).await.0, ":\n\n");
    }

    #[tokio::test]
    async fn zero_interval_disables_comments() {
        let (_pieces, mut body) = stream(Duration::ZERO);
        let waited = tokio::time::timeout(4 * INTERVAL, next(&mut body)).await;
        assert!(waited.is_err());
    }
}
