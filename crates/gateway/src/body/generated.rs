//! An event stream that a future writes while the client reads it.

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

/// The number of chunks buffered ahead of the client.
const BUFFER: usize = 4;

/// The body that the client reads. Dropping it stops the writing future.
pub(crate) struct GeneratedBody {
    writing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    chunks: mpsc::Receiver<Result<Bytes, BoxError>>,
}

/// Writes to a [`GeneratedBody`].
#[derive(Clone, Debug)]
pub(crate) struct EventWriter(mpsc::Sender<Result<Bytes, BoxError>>);

impl GeneratedBody {
    /// Returns a body that `write` writes. The future runs only while the body is polled.
    pub(crate) fn begin<W>(write: impl FnOnce(EventWriter) -> W) -> Body
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let (sender, chunks) = mpsc::channel(BUFFER);
        Body::relayed(Self {
            writing: Some(Box::pin(write(EventWriter(sender)))),
            chunks,
        })
    }
}

impl EventWriter {
    /// Writes a chunk of the stream.
    pub(crate) async fn chunk(&self, chunk: Bytes) {
        let _ = self.0.send(Ok(chunk)).await;
    }

    /// Writes a whole message as an event.
    pub(crate) async fn event(&self, message: &Bytes) {
        self.chunk(sse::event(message)).await;
    }

    /// Writes a streamed JSON text as one event.
    pub(crate) async fn json(&self, mut body: impl HttpBody<Data = Bytes, Error = BoxError> + Unpin) {
        self.chunk(Bytes::from_static(sse::EVENT_START)).await;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.chunk(envelope::one_line(&data)).await;
                    }
                }
                Err(fault) => return self.fail(fault).await,
            }
        }
        self.chunk(Bytes::from_static(sse::EVENT_END)).await;
    }

    /// Fails the stream, because a truncated response must not look complete.
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
            // Pending does not mean that the channel is empty: tokio's budget makes tasks yield. So only the channel
            // itself decides the end.
            let next = this.chunks.poll_recv(cx);
            let (Poll::Pending, Some(writing)) = (&next, &mut this.writing) else {
                return next.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)));
            };
            if writing.as_mut().poll(cx).is_ready() {
                this.writing = None;
            } else {
                // Reads at once what was just written, which wakes the writer.
                let written = this.chunks.poll_recv(cx);
                return written.map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)));
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
    async fn chunks_survive_yielding() {
        // More than tokio's budget, with the last chunks written before they are read.
        for chunks in [1, 3, 4, 5, 127, 128, 129, 1000] {
            let mut body = GeneratedBody::begin(|writer| async move {
                for at in 0..chunks {
                    writer.chunk(Bytes::from(format!("{at};"))).await;
                }
                writer.fail("end".into()).await;
            });
            let mut seen = 0;
            let fault = loop {
                match body.frame().await {
                    Some(Ok(_)) => seen += 1,
                    Some(Err(fault)) => break fault,
                    None => panic!("a clean end after {seen} of {chunks}"),
                }
            };
            assert_eq!((seen, fault.to_string().as_str()), (chunks, "end"));
            assert!(body.frame().await.is_none());
        }
    }
}
