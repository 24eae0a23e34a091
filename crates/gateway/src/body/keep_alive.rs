//! Keeping streams awake: a comment where nothing comes for long, so that nobody between takes them for dead.

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

/// A stream of events, with comments between them while it is silent.
///
/// The timer is made when the stream has to wait for the first time, and set anew when it has run out: what flows costs
/// nothing.
#[derive(Debug)]
pub(crate) struct KeepAliveBody<B> {
    body: B,
    /// After how long a comment is due; none if never.
    every: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when nothing has come.
    silent: Option<Instant>,
    /// Whether no event is half said.
    between: bool,
}

impl<B> KeepAliveBody<B> {
    /// With a comment after each `every` of silence; with none at all if that is zero.
    pub(crate) fn new(body: B, every: Duration) -> Self {
        Self {
            body,
            // An hour is as good as an eternity, and far within what timers can count.
            every: (!every.is_zero()).then(|| every.min(Duration::from_secs(3600))),
            timer: None,
            silent: None,
            between: true,
        }
    }

    /// Ready when a comment is due.
    fn poll_silence(&mut self, cx: &mut Context<'_>, every: Duration) -> Poll<()> {
        let mut due = *self.silent.get_or_insert_with(Instant::now) + every;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        loop {
            std::task::ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            if now >= due {
                self.silent = Some(now);
                due = now + every;
                timer.as_mut().reset(due);
                if self.between {
                    return Poll::Ready(());
                }
            } else {
                // Something came since it was set.
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
            this.silent = None;
            if let Some(Ok(frame)) = &frame {
                this.between = frame.data_ref().is_none_or(|data| data.ends_with(sse::EVENT_END));
            }
            return Poll::Ready(frame);
        }
        let Some(every) = this.every else {
            return Poll::Pending;
        };
        std::task::ready!(this.poll_silence(cx, every));
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

    const EVERY: Duration = Duration::from_millis(60);

    type Pieces = mpsc::UnboundedSender<&'static str>;

    fn stream(
        every: Duration,
    ) -> (
        Pieces,
        KeepAliveBody<impl HttpBody<Data = Bytes, Error = BoxError> + Unpin>,
    ) {
        let (sender, mut pieces) = mpsc::unbounded_channel();
        let frames = futures_util::stream::poll_fn(move |cx| {
            let piece: Poll<Option<&str>> = pieces.poll_recv(cx);
            piece.map(|piece| piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
        });
        (sender, KeepAliveBody::new(StreamBody::new(frames), every))
    }

    async fn next(body: &mut (impl HttpBody<Data = Bytes, Error = BoxError> + Unpin)) -> (String, Duration) {
        let since = Instant::now();
        let frame = body.frame().await.expect("no end").expect("no fault");
        let text = String::from_utf8(frame.into_data().expect("data").to_vec()).expect("UTF-8");
        (text, since.elapsed())
    }

    #[tokio::test]
    async fn each_silence_is_broken_by_a_comment_and_nothing_else_is() {
        let (pieces, mut body) = stream(EVERY);
        for _ in 0..3 {
            let (comment, after) = next(&mut body).await;
            assert_eq!(comment, ":\n\n");
            assert!(after >= EVERY, "{after:?}");
        }
        pieces.send("data: x\n\n").expect("read");
        assert_eq!(next(&mut body).await.0, "data: x\n\n");
        let (comment, after) = next(&mut body).await;
        assert_eq!(comment, ":\n\n");
        assert!(after >= EVERY, "silence begins anew: {after:?}");
        drop(pieces);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn no_comment_comes_within_an_event() {
        let (pieces, mut body) = stream(EVERY);
        pieces.send("data: {").expect("read");
        assert_eq!(next(&mut body).await.0, "data: {");
        let waited = tokio::time::timeout(4 * EVERY, next(&mut body)).await;
        assert!(waited.is_err());
        pieces.send("}\n\n").expect("read");
        assert_eq!(next(&mut body).await.0, "}\n\n");
        assert_eq!(next(&mut body).await.0, ":\n\n");
    }

    #[tokio::test]
    async fn zero_is_never() {
        let (_pieces, mut body) = stream(Duration::ZERO);
        let waited = tokio::time::timeout(4 * EVERY, next(&mut body)).await;
        assert!(waited.is_err());
    }
}
