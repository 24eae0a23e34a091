//! A response body that reads a replay stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use portolan_core::{BoxError, Error, Failure, FailureKind};
use portolan_wire::sse;
use tokio::runtime::Handle;

use super::{
    event_buffer::{Read, StreamEnd},
    event_id::RequestRef,
    stream::{Next, ReplayStream, Turn},
};
use crate::body::Body;

/// One reader of a [`ReplayStream`]. Each event is sent with its id.
#[derive(Debug)]
pub(super) struct ReplayBody {
    stream: Arc<ReplayStream>,
    turn: Turn,
    /// Sent before anything else.
    ready: Option<Bytes>,
    /// Whether the last event was sent only in part.
    is_partial: bool,
    is_done: bool,
}

impl ReplayBody {
    /// Creates the reader that holds `turn`. `first` is sent at once.
    pub(super) fn new(stream: Arc<ReplayStream>, turn: Turn, first: Option<Bytes>) -> Self {
        Self {
            stream,
            turn,
            ready: first,
            is_partial: false,
            is_done: false,
        }
    }

    /// Creates a reader that only reports that the requested events are no longer kept. The call continues.
    pub(super) fn truncated(stream: Arc<ReplayStream>) -> Self {
        let limit = stream.store().map_or(0, |store| store.max_stream_bytes());
        let problem = format!("its stream has sent more than {limit} bytes since, and no more are kept");
        let failure = Some(failure(
            &stream.request_ref,
            Failure::new(FailureKind::Stopped, problem),
        ));
        let failure =
            failure.map(|message| sse::event_with_id(&stream.prefix.end(stream.last_started() + 1), &message));
        detach(&stream);
        Self {
            is_done: true,
            ..Self::new(stream, Turn::MAX, failure)
        }
    }
}

impl HttpBody for ReplayBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        loop {
            if let Some(ready) = this.ready.take() {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
            if this.is_done {
                return Poll::Ready(None);
            }
            match this.stream.next(this.turn, cx) {
                Next::Read(Read::Chunk(starts, data)) => {
                    this.is_partial = !data.ends_with(sse::EVENT_END);
                    let id = starts.map(|number| sse::id_line(&this.stream.prefix.id(number, None)));
                    let first = match id {
                        None => data,
                        Some(id) => {
                            this.ready = Some(data);
                            id
                        }
                    };
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                Next::Read(Read::Pending) => std::task::ready!(this.stream.poll_more(this.turn, cx)),
                Next::Read(Read::End(StreamEnd::Whole)) | Next::Superseded => this.is_done = true,
                Next::Read(Read::End(StreamEnd::Broken(problem))) => {
                    this.is_done = true;
                    if this.is_partial {
                        // A truncated response must not look complete. The client resumes and gets an error.
                        return Poll::Ready(Some(Err(problem.into())));
                    }
                    let failure = failure(&this.stream.request_ref, Failure::new(FailureKind::Connection, problem));
                    let id = this.stream.prefix.end(this.stream.last_started() + 1);
                    this.ready = Some(sse::event_with_id(&id, &failure));
                }
                Next::Pause(millis) => {
                    this.is_done = true;
                    let turn = detach(&this.stream);
                    let id = this.stream.prefix.id(this.stream.last_complete(), Some(turn));
                    this.ready = Some(sse::priming(&id, Some(millis)));
                }
            }
        }
    }
}

/// Detaches the client: a background task reads the stream until a client resumes it.
fn detach(stream: &Arc<ReplayStream>) -> Turn {
    let turn = stream.detach();
    if let (Some(store), Ok(runtime)) = (stream.store(), Handle::try_current()) {
        let detached = Body::relayed(ReplayBody::new(stream.clone(), turn, None));
        store.tasks.spawn_on(detached.discard(), &runtime);
    }
    turn
}

/// Returns the error response for a response that cannot be delivered.
pub(super) fn failure(request_ref: &RequestRef, failure: Failure) -> Bytes {
    request_ref.failure(&Error::NotReady {
        what: "the answer to request",
        name: request_ref.id.to_string(),
        failure: failure.remedy("call again, if it may be done twice"),
    })
}
