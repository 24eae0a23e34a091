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
    event_id::Whose,
    reel::{Over, Read},
    tape::{Next, Tape, Turn},
};
use crate::body::Body;

/// One reader of a tape. Each event goes out with its id.
#[derive(Debug)]
pub(super) struct Playback {
    tape: Arc<Tape>,
    turn: Turn,
    /// What goes out before anything else.
    ready: Option<Bytes>,
    /// Whether an event has gone out in half.
    half: bool,
    over: bool,
}

impl Playback {
    /// The reader who has this turn. `first` goes out at once.
    pub(super) fn new(tape: Arc<Tape>, turn: Turn, first: Option<Bytes>) -> Self {
        Self {
            tape,
            turn,
            ready: first,
            half: false,
            over: false,
        }
    }

    /// The reader who has this turn, and who is told that what came before it is not kept any more. The call goes on.
    pub(super) fn torn(tape: Arc<Tape>) -> Self {
        let limit = tape.shelf().map_or(0, |shelf| shelf.bytes_of_one());
        let problem = format!("more than {limit} bytes have come on its stream since, and no more are kept");
        let failure = Some(failure(&tape.whose, Failure::new(FailureKind::Stopped, problem)));
        let failure = failure.map(|message| sse::event_with_id(&tape.stem.end(tape.event() + 1), &message));
        leave(&tape);
        Self {
            over: true,
            ..Self::new(tape, Turn::MAX, failure)
        }
    }
}

impl HttpBody for Playback {
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
            match this.tape.next(this.turn, cx) {
                Next::Read(Read::Piece(begun, data)) => {
                    this.half = !data.ends_with(sse::EVENT_END);
                    let id = begun.map(|number| sse::id_line(&this.tape.stem.id(number, None)));
                    let first = match id {
                        None => data,
                        Some(id) => {
                            this.ready = Some(data);
                            id
                        }
                    };
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                Next::Read(Read::Nothing) => std::task::ready!(this.tape.poll_more(this.turn, cx)),
                Next::Read(Read::Over(Over::Whole)) | Next::NotYours => this.over = true,
                Next::Read(Read::Over(Over::Broken(problem))) => {
                    this.over = true;
                    if this.half {
                        // Half an answer must not look like a whole one. The client comes back, and is told.
                        return Poll::Ready(Some(Err(problem.into())));
                    }
                    let failure = failure(&this.tape.whose, Failure::new(FailureKind::Connection, problem));
                    let id = this.tape.stem.end(this.tape.event() + 1);
                    this.ready = Some(sse::event_with_id(&id, &failure));
                }
                Next::Pause(millis) => {
                    this.over = true;
                    let turn = leave(&this.tape);
                    let id = this.tape.stem.id(this.tape.last(), Some(turn));
                    this.ready = Some(sse::priming(&id, Some(millis)));
                }
            }
        }
    }
}

/// The stream goes on without its client, until somebody takes it up.
fn leave(tape: &Arc<Tape>) -> Turn {
    let turn = tape.leave();
    if let (Some(shelf), Ok(runtime)) = (tape.shelf(), Handle::try_current()) {
        let nobody = Body::relayed(Playback::new(tape.clone(), turn, None));
        shelf.tasks.spawn_on(nobody.discard(), &runtime);
    }
    turn
}

/// The message that says that there is no answer that could be given.
pub(super) fn failure(whose: &Whose, failure: Failure) -> Bytes {
    whose.failure(&Error::NotReady {
        what: "the answer to request",
        name: whose.id.to_string(),
        failure: failure.remedy("call again, if it may be done twice"),
    })
}
