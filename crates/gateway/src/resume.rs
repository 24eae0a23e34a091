//! Streams that legacy clients can take up again (2025-11-25, basic/transports, "Resumability and Redelivery").
//!
//! A stream that answers a request of a legacy client is put on a [`Tape`], and its events go out with ids. The client whose
//! connection breaks comes back by GET with the id of the last event that it has read: what followed is played to it, then
//! the stream goes on. The call never notices.
//!
//! ```text
//! POST ─► work on the call ─► body ─► tape ─► playback ─► client
//!                                       ╰───► playback ─► the same client, by GET, here or by way of another replica
//! ```
//!
//! What can be played is bounded ([`Shelf`]). What cannot be played is said: the client is told, under the id of its
//! request, that there is no answer any more. That needs nothing but the event's id, so any replica can say it.
//!
//! A 2025-11-25 client learns an id before anything is said, and its stream begins before its answer where that takes long
//! ([`Late`]). A server that closes its stream to have its client come back is passed on to it. Older clients know neither.

mod event_id;
mod late;
mod playback;
mod reel;
mod shelf;
mod tape;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Response};
use portolan_core::{Failure, FailureKind};
use portolan_wire::{envelope::Request, era::ProtocolVersion, method::Method, sse};

pub(crate) use self::{
    event_id::{EventId, Of, Stem, StreamId, Whose},
    late::Late,
    shelf::Shelf,
};
use self::{playback::Playback, reel::Rewound, tape::Tape};
use crate::{
    body::Body,
    question::random_handle,
    reply::{self, Rejection},
    service::Inner,
    session::Session,
    visit::Visit,
};

/// The oldest version whose clients can read an event without data, and come back by themselves (SEP-1699).
pub(crate) const POLLS: ProtocolVersion = ProtocolVersion::V2025_11_25;

impl Whose {
    /// The request, for its stream.
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            id: request.id.clone(),
            is_tool: request.method == Method::ToolsCall,
        }
    }
}

impl Inner {
    /// After how long a call of this session that has no answer yet gets a stream.
    pub(crate) fn stream_after(&self, session: &Session) -> Option<Duration> {
        (session.version >= POLLS && self.shelf.is_used()).then_some(self.config.timeouts.stream_after)
    }

    /// Makes the stream that answers a request, if it is one, one that its client can take up again; while there is room for
    /// that. Either way it is kept awake, and goes on when its client goes away.
    pub(crate) fn keep_stream(&self, session: &Session, whose: Whose, response: Response<Body>) -> Response<Body> {
        if !response.body().is_relayed() || !reply::is_stream(&response) {
            return response;
        }
        response.map(|body| {
            let body = match self.tape(session, whose, body) {
                Ok(playback) => self.awake(playback),
                Err(body) => self.awake(body),
            };
            body.outliving(&self.connector.tasks)
        })
    }

    /// A tape of this stream, with the client that has it from the beginning.
    fn tape(&self, session: &Session, whose: Whose, body: Body) -> Result<Playback, Body> {
        let key = (session.nonce(), random_handle());
        let stream = StreamId {
            session: key.0,
            place: self.questions.place(key.1),
            of: Of::Request(whose.clone()),
        };
        let Some(stem) = stream.seal(&self.keys).filter(|_| self.shelf.is_used()) else {
            return Err(body);
        };
        let polls = session.version >= POLLS;
        let first = polls.then(|| self.priming(&stem.id(0, None)));
        let mut source = Some(body);
        let tape = self.shelf.put(key, || {
            let source = source.take().unwrap_or_else(Body::empty);
            Arc::new(Tape::new(key, whose, stem, polls, &self.shelf, source))
        });
        match tape {
            Some(tape) => Ok(Playback::new(tape, 0, first)),
            None => Err(source.unwrap_or_else(Body::empty)),
        }
    }

    /// The event without data by which a client learns an id, and when to come back.
    pub(crate) fn priming(&self, id: &str) -> Bytes {
        let millis = u64::try_from(self.config.timeouts.retry.as_millis()).unwrap_or(u64::MAX);
        sse::priming(id, Some(millis))
    }

    /// GET with the id of an event: goes on with its stream.
    ///
    /// Where there is nothing to go on with, the answer is 405, as where there are no streams at all: the specification
    /// knows no other, and clients take it for what it is. To others some of them come again and again, and to a stream that
    /// ends at once all of them.
    pub(crate) async fn take_up(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
        session: &Arc<Session>,
        last: &HeaderValue,
    ) -> Result<Response<Body>, Rejection> {
        let id = last.to_str().ok().and_then(|text| EventId::open(&self.keys, text));
        let Some(id) = id.filter(|id| id.stream.session == session.nonce()) else {
            return Err(Rejection::no_stream("no event of this session has this id"));
        };
        match &id.stream.of {
            Of::Session => self.session_stream(visit, session, Some(&id)),
            Of::Request(_) if id.is_end => Err(over()),
            Of::Request(whose) => self.play(visit, session, &id, whose).await,
        }
    }

    /// Goes on with a stream that answers a request, in the replica that has it.
    async fn play(
        &self,
        visit: &Visit,
        session: &Session,
        id: &EventId,
        whose: &Whose,
    ) -> Result<Response<Body>, Rejection> {
        let place = &id.stream.place;
        if !self.questions.is_here(place) {
            let played = self.hop(visit, Verb::GET, place, Bytes::new()).await;
            return Ok(played.unwrap_or_else(|_| self.lost(id, whose)));
        }
        let Some(tape) = self.shelf.get(&(session.nonce(), place.handle)) else {
            return Ok(self.lost(id, whose));
        };
        let playback = match tape.take_up(id.number) {
            (_, Rewound::Nothing) => return Err(over()),
            (_, Rewound::Torn) => Playback::torn(tape),
            (turn, Rewound::There) => {
                // So that a client which is lost again at once knows where it was.
                let first = match tape.polls {
                    true => self.priming(&tape.stem.id(id.number, Some(turn))),
                    false => Bytes::from_static(sse::COMMENT),
                };
                Playback::new(tape, turn, Some(first))
            }
        };
        Ok(reply::events(self.awake(playback).outliving(&self.connector.tasks)))
    }

    /// The stream is not kept any more, or not where it can be reached.
    fn lost(&self, id: &EventId, whose: &Whose) -> Response<Body> {
        let failure = Failure::new(FailureKind::Stopped, "the stream that it came on is gone");
        let message = playback::failure(whose, failure);
        let end = id.stem.end(id.number.saturating_add(1));
        reply::events(Body::whole(sse::event_with_id(&end, &message)))
    }
}

fn over() -> Rejection {
    Rejection::no_stream("the stream is over, and nothing followed this event")
}
