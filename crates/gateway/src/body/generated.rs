//! A client's event stream that somebody writes as it goes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use portolan_core::BoxError;
use portolan_wire::{envelope, sse};
use tokio::sync::mpsc;

use super::Body;

/// Pieces that are written before the client has read the first.
const AHEAD: usize = 4;

/// The client's side: a body. Dropped, it ends the writing.
pub(crate) struct GeneratedBody {
    writing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: mpsc::Receiver<Result<Bytes, BoxError>>,
}

/// The writer's side.
#[derive(Clone, Debug)]
pub(crate) struct EventWriter(mpsc::Sender<Result<Bytes, BoxError>>);

impl GeneratedBody {
    /// The body that `write` writes. It runs as long as the body is read.
    pub(crate) fn begin<W>(write: impl FnOnce(EventWriter) -> W) -> Body
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(AHEAD);
        Body::relayed(Self {
            writing: Some(Box::pin(write(EventWriter(sender)))),
            pieces,
        })
    }
}

impl EventWriter {
    /// A piece of the stream.
    pub(crate) async fn piece(&self, piece: Bytes) {
        let _ = self.0.send(Ok(piece)).await;
    }

    /// A whole message.
    pub(crate) async fn event(&self, message: &Bytes) {
        self.piece(sse::event(message)).await;
    }

    /// A JSON text as it comes, as one message.
    pub(crate) async fn json(&self, mut body: impl HttpBody<Data = Bytes, Error = BoxError> + Unpin) {
        self.piece(Bytes::from_static(sse::EVENT_START)).await;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.piece(envelope::one_line(&data)).await;
                    }
                }
                Err(fault) => return self.fail(fault).await,
            }
        }
        self.piece(Bytes::from_static(sse::EVENT_END)).await;
    }

    /// Breaks the stream off: half an answer must not look like a whole one.
    pub(crate) async fn fail(&self, fault: BoxError) {
        let _ = self.0.send(Err(fault)).await;
    }
}

impl HttpBody for GeneratedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            // Pending need not mean that there is nothing: a task that has done much is made to yield. So the end is where
            // the channel says so, and nowhere else.
            let next = this.pieces.poll_recv(cx);
            let (Poll::Pending, Some(writing)) = (&next, &mut this.writing) else {
                return next.map(|piece| piece.map(|piece| piece.map(Frame::data)));
            };
            if writing.as_mut().poll(cx).is_ready() {
                this.writing = None;
            } else {
                // What was just written is read at once; the writer is woken by that.
                let written = this.pieces.poll_recv(cx);
                return written.map(|piece| piece.map(|piece| piece.map(Frame::data)));
            }
        }
    }
}

impl fmt::Debug for GeneratedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GeneratedBody")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_piece_comes_also_to_a_reader_that_has_to_yield() {
        // More than a task may do without yielding, with the last pieces written before they are read.
        for pieces in [1, 3, 4, 5, 127, 128, 129, 1000] {
            let mut body = GeneratedBody::begin(|writer| async move {
                for at in 0..pieces {
                    writer.piece(Bytes::from(format!("{at};"))).await;
                }
                writer.fail("the end".into()).await;
            });
            let mut seen = 0;
            let fault = loop {
                match body.frame().await {
                    Some(Ok(_)) => seen += 1,
                    Some(Err(fault)) => break fault,
                    None => panic!("a clean end after {seen} of {pieces}"),
                }
            };
            assert_eq!((seen, fault.to_string().as_str()), (pieces, "the end"));
            assert!(body.frame().await.is_none());
        }
    }
}
