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

use crate::body::Body;

/// Pieces that are written before the client has read the first.
const AHEAD: usize = 4;

/// The client's side: a body. Dropped, it ends the writing.
pub(crate) struct Talk {
    writing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    pieces: mpsc::Receiver<Result<Bytes, BoxError>>,
}

/// The writer's side.
#[derive(Clone, Debug)]
pub(crate) struct Pen(mpsc::Sender<Result<Bytes, BoxError>>);

impl Talk {
    /// The body that `write` writes. It runs as long as the body is read.
    pub(crate) fn begin<W>(write: impl FnOnce(Pen) -> W) -> Body
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(AHEAD);
        Body::relayed(Self {
            writing: Some(Box::pin(write(Pen(sender)))),
            pieces,
        })
    }
}

impl Pen {
    /// A piece of the stream.
    pub(crate) async fn piece(&self, piece: Bytes) {
        let _ = self.0.send(Ok(piece)).await;
    }

    /// A whole message.
    pub(crate) async fn event(&self, message: &Bytes) {
        self.piece(sse::event(message)).await;
    }

    /// Something that means nothing, so that nobody takes the stream for dead.
    pub(crate) async fn comment(&self) {
        self.piece(Bytes::from_static(sse::COMMENT)).await;
    }

    /// A JSON text as it comes, as one message.
    pub(crate) async fn json(&self, mut body: Body) {
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

impl HttpBody for Talk {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Poll::Ready(Some(piece)) = this.pieces.poll_recv(cx) {
                return Poll::Ready(Some(piece.map(Frame::data)));
            }
            let Some(writing) = &mut this.writing else {
                return Poll::Ready(None);
            };
            if writing.as_mut().poll(cx).is_ready() {
                this.writing = None;
                continue;
            }
            // What was just written is read at once; the writer is woken by that.
            return match this.pieces.poll_recv(cx) {
                Poll::Ready(Some(piece)) => Poll::Ready(Some(piece.map(Frame::data))),
                _ => Poll::Pending,
            };
        }
    }
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Talk")
    }
}
