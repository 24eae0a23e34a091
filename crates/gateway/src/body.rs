//! The body of a reply: whole, or relayed as it comes.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use portolan_core::BoxError;

/// A reply's body.
#[derive(Debug)]
pub struct Body(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Relayed {
        body: Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>,
        /// Kept until the body is over.
        attendant: Option<Box<dyn Send>>,
    },
}

impl Body {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// These bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// What `body` yields, as it comes.
    pub(crate) fn relayed(body: impl HttpBody<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self(Kind::Relayed {
            body: Box::pin(body),
            attendant: None,
        })
    }

    /// The same, with something that is dropped when the body is over or given up.
    pub(crate) fn attended(mut self, with: impl Send + 'static) -> Self {
        if let Kind::Relayed { attendant, .. } = &mut self.0 {
            *attendant = Some(Box::new(with));
        }
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Relayed { body, attendant } => {
                let frame = std::task::ready!(body.as_mut().poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    *attendant = None;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Relayed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Relayed { body, .. } => body.size_hint(),
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Relayed { .. } => f.write_str("Relayed"),
        }
    }
}
