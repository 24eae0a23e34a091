//! Response bodies.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use http_body::{Body as HttpBody, Frame, SizeHint};

/// A response body: pieces in memory, or a stream.
pub(super) enum Body {
    /// Sent one after the other, without being concatenated.
    Pieces(VecDeque<Bytes>),
    /// Sent as they come.
    Stream(BoxStream<'static, Bytes>),
}

impl Body {
    pub(super) fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        Self::Pieces(pieces.into_iter().filter(|piece| !piece.is_empty()).collect())
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(Frame::data).map(Ok)),
            Self::Stream(stream) => stream.poll_next_unpin(cx).map(|piece| piece.map(Frame::data).map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Pieces(pieces) if pieces.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
