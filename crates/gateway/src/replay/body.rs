//! A client's connection to a stream that can be taken up again: a body.

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
    buffer::{Read, StreamEnd},
    event_id::RequestRef,
    stream::{Next, ReplayStream, Turn},
};
use crate::body::Body;

/// One reader of a tape. Each event goes out with its id.
#[derive(Debug)]
pub(super) struct ReplayBody {
    stream: Arc<ReplayStream>,
    turn: Turn,
    /// What goes out before anything else.
    ready: Option<Bytes>,
    /// Whether an event has gone out in half.
    half: bool,
    over: bool,
}

impl ReplayBody {
    /// The reader who has this turn. `first` goes out at once.
    pub(super) fn new(stream: Arc<ReplayStream>, turn: Turn, first: Option<Bytes>) -> Self {
        Self {
            stream,
            turn,
            ready: first,
            half: false,
            over: false,
        }
    }

    /// The reader who has this turn, and who is told that what came before it is not kept any more. The call goes on.
    pub(super) fn torn(stream: Arc<ReplayStream>) -> Self {
        let limit = stream.store().map_or(0, |store| store.bytes_of_one());
        let problem = format!("more than {limit} bytes have come on its stream since, and no more are kept");
        let failure = Some(failure(
            &stream.request_ref,
            Failure::new(FailureKind::Stopped, problem),
        ));
        let failure = failure.map(|message| sse::event_with_id(&stream.prefix.end(stream.event() + 1), &message));
        leave(&stream);
        Self {
            over: true,
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
            if this.over {
                return Poll::Ready(None);
            }
            match this.stream.next(this.turn, cx) {
                Next::Read(Read::Piece(begun, data)) => {
                    this.half = !data.ends_with(sse::EVENT_END);
                    let id = begun.map(|number| sse::id_line(&this.stream.prefix.id(number, None)));
                    let first = match id {
                        None => data,
                        Some(id) => {
                            this.ready = Some(data);
                            id
                        }
                    };
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                Next::Read(Read::Nothing) => std::task::ready!(this.stream.poll_more(this.turn, cx)),
                Next::Read(Read::End(StreamEnd::Whole)) | Next::NotYours => this.over = true,
                Next::Read(Read::End(StreamEnd::Broken(problem))) => {
                    this.over = true;
                    if this.half {
                        // Half an answer must not look like a whole one. The client comes back, and is told.
                        return Poll::Ready(Some(Err(problem.into())));
                    }
                    let failure = failure(&this.stream.request_ref, Failure::new(FailureKind::Connection, problem));
                    let id = this.stream.prefix.end(this.stream.event() + 1);
                    this.ready = Some(sse::event_with_id(&id, &failure));
                }
                Next::Pause(millis) => {
                    this.over = true;
                    let turn = leave(&this.stream);
                    let id = this.stream.prefix.id(this.stream.last(), Some(turn));
                    this.ready = Some(sse::priming(&id, Some(millis)));
                }
            }
        }
    }
}

/// The stream goes on without its client, until somebody takes it up.
fn leave(stream: &Arc<ReplayStream>) -> Turn {
    let turn = stream.leave();
    if let (Some(store), Ok(runtime)) = (stream.store(), Handle::try_current()) {
        let nobody = Body::relayed(ReplayBody::new(stream.clone(), turn, None));
        store.tasks.spawn_on(nobody.discard(), &runtime);
    }
    turn
}

/// The message that says that there is no answer that could be given.
pub(super) fn failure(request_ref: &RequestRef, failure: Failure) -> Bytes {
    request_ref.failure(&Error::NotReady {
        what: "the answer to request",
        name: request_ref.id.to_string(),
        failure: failure.remedy("call again, if it may be done twice"),
    })
}
