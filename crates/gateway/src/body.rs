//! The body of a response: whole, or streamed.

mod generated;
mod keep_alive;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use portolan_core::BoxError;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

pub(crate) use self::{
    generated::{EventWriter, GeneratedBody},
    keep_alive::KeepAliveBody,
};

/// The body of a gateway's response: complete, or streamed from the server.
#[derive(Debug)]
pub struct Body(BodyKind);

enum BodyKind {
    Whole(Option<Bytes>),
    Relayed {
        body: Pin<Box<dyn HttpBody<Data = Bytes, Error = BoxError> + Send>>,
        /// Dropped when the body ends or is dropped.
        guard: Option<Box<dyn Send>>,
        /// Runs the rest of the body if it is dropped before its end.
        continues_on: Option<TaskTracker>,
    },
}

impl Body {
    /// Creates an empty body.
    pub(crate) fn empty() -> Self {
        Self(BodyKind::Whole(None))
    }

    /// Creates a body of these bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self(BodyKind::Whole((!bytes.is_empty()).then_some(bytes)))
    }

    /// Creates a body that streams `body`.
    pub(crate) fn relayed(body: impl HttpBody<Data = Bytes, Error = BoxError> + Send + 'static) -> Self {
        Self(BodyKind::Relayed {
            body: Box::pin(body),
            guard: None,
            continues_on: None,
        })
    }

    /// Adds a value that is dropped when the body ends or is dropped.
    pub(crate) fn with_guard(mut self, with: impl Send + 'static) -> Self {
        if let BodyKind::Relayed { guard, .. } = &mut self.0 {
            *guard = Some(Box::new(with));
        }
        self
    }

    /// Continues reading the body on `tasks` if it is dropped before its end.
    pub(crate) fn outliving(mut self, tasks: &TaskTracker) -> Self {
        if let BodyKind::Relayed { continues_on, .. } = &mut self.0 {
            *continues_on = Some(tasks.clone());
        }
        self
    }

    /// Returns whether the body is streamed.
    pub(crate) fn is_relayed(&self) -> bool {
        matches!(self.0, BodyKind::Relayed { .. })
    }

    /// Reads the body to its end and discards it.
    pub(crate) async fn discard(mut self) {
        if let BodyKind::Relayed { continues_on, .. } = &mut self.0 {
            *continues_on = None;
        }
        while let Some(Ok(_)) = self.frame().await {}
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let BodyKind::Relayed { body, continues_on, .. } = &mut self.0 else {
            return;
        };
        if let Some(tasks) = continues_on.take()
            && !body.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = Self(std::mem::replace(&mut self.0, BodyKind::Whole(None)));
            tasks.spawn_on(rest.discard(), &runtime);
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.get_mut().0 {
            BodyKind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            BodyKind::Relayed {
                body,
                guard,
                continues_on,
            } => {
                let frame = std::task::ready!(body.as_mut().poll_frame(cx));
                if !matches!(frame, Some(Ok(_))) {
                    *guard = None;
                    *continues_on = None;
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodyKind::Whole(bytes) => bytes.is_none(),
            BodyKind::Relayed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            BodyKind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            BodyKind::Relayed { body, .. } => body.size_hint(),
        }
    }
}

impl fmt::Debug for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({})", bytes.as_ref().map_or(0, Bytes::len)),
            Self::Relayed { .. } => f.write_str("Relayed"),
        }
    }
}
