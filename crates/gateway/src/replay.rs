//! Streams that legacy clients can take up again (2025-11-25, basic/transports, "Resumability and Redelivery").
//!
//! A stream that answers a request of a legacy client is put on a [`ReplayStream`], and its events go out with ids. The client whose
//! connection breaks comes back by GET with the id of the last event that it has read: what followed is played to it, then
//! the stream goes on. The call never notices.
//!
//! ```text
//! POST ─► work on the call ─► body ─► stream ─► playback ─► client
//!                                       ╰───► playback ─► the same client, by GET, here or by way of another replica
//! ```
//!
//! What can be played is bounded ([`ReplayStore`]). What cannot be played is said: the client is told, under the id of its
//! request, that there is no answer any more. That needs nothing but the event's id, so any replica can say it.
//!
//! A 2025-11-25 client learns an id before anything is said, and its stream begins before its answer where that takes long
//! ([`DeferredBody`]). A server that closes its stream to have its client come back is passed on to it. Older clients know neither.

mod body;
mod buffer;
mod deferred_body;
mod event_id;
mod store;
mod stream;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Response};
use portolan_core::{Failure, FailureKind};
use portolan_wire::{envelope::Request, era::ProtocolVersion, method::Method, sse};

use self::{body::ReplayBody, buffer::Seek, stream::ReplayStream};
pub(crate) use self::{
    deferred_body::DeferredBody,
    event_id::{EventId, EventIdPrefix, RequestRef, StreamId, StreamKind},
    store::ReplayStore,
};
use crate::{
    body::Body,
    reply::{self, Rejection},
    request_context::RequestContext,
    server_requests::random_handle,
    service::Inner,
    session::Session,
};

/// The oldest version whose clients can read an event without data, and come back by themselves (SEP-1699).
pub(crate) const MIN_PRIMING_VERSION: ProtocolVersion = ProtocolVersion::V2025_11_25;

impl RequestRef {
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
        (session.version >= MIN_PRIMING_VERSION && self.replay_store.is_used())
            .then_some(self.config.timeouts.stream_after)
    }

    /// Makes the stream that answers a request, if it is one, one that its client can take up again; while there is room for
    /// that. Either way it is kept awake, and goes on when its client goes away.
    pub(crate) fn keep_stream(
        &self,
        session: &Session,
        request_ref: RequestRef,
        response: Response<Body>,
    ) -> Response<Body> {
        if !response.body().is_relayed() || !reply::is_stream(&response) {
            return response;
        }
        response.map(|body| {
            let body = match self.stream(session, request_ref, body) {
                Ok(replay_body) => self.keep_alive(replay_body),
                Err(body) => self.keep_alive(body),
            };
            body.outliving(&self.connector.tasks)
        })
    }

    /// A stream of this stream, with the client that has it from the beginning.
    fn stream(&self, session: &Session, request_ref: RequestRef, body: Body) -> Result<ReplayBody, Body> {
        let key = (session.nonce(), random_handle());
        let id = StreamId {
            session: key.0,
            place: self.server_requests.place(key.1),
            of: StreamKind::Request(request_ref.clone()),
        };
        let Some(prefix) = id.seal(&self.keys).filter(|_| self.replay_store.is_used()) else {
            return Err(body);
        };
        let polls = session.version >= MIN_PRIMING_VERSION;
        let first = polls.then(|| self.priming(&prefix.id(0, None)));
        let mut source = Some(body);
        let stream = self.replay_store.put(key, || {
            let source = source.take().unwrap_or_else(Body::empty);
            Arc::new(ReplayStream::new(
                key,
                request_ref,
                prefix,
                polls,
                &self.replay_store,
                source,
            ))
        });
        match stream {
            Some(stream) => Ok(ReplayBody::new(stream, 0, first)),
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
        context: &Arc<RequestContext>,
        session: &Arc<Session>,
        last: &HeaderValue,
    ) -> Result<Response<Body>, Rejection> {
        let id = last.to_str().ok().and_then(|text| EventId::open(&self.keys, text));
        let Some(id) = id.filter(|id| id.stream.session == session.nonce()) else {
            return Err(Rejection::no_stream("no event of this session has this id"));
        };
        match &id.stream.of {
            StreamKind::Session => self.session_stream(context, session, Some(&id)),
            StreamKind::Request(_) if id.is_end => Err(over()),
            StreamKind::Request(request_ref) => self.play(context, session, &id, request_ref).await,
        }
    }

    /// Goes on with a stream that answers a request, in the replica that has it.
    async fn play(
        &self,
        context: &RequestContext,
        session: &Session,
        id: &EventId,
        request_ref: &RequestRef,
    ) -> Result<Response<Body>, Rejection> {
        let place = &id.stream.place;
        if !self.server_requests.is_here(place) {
            let played = self.forward(context, Verb::GET, place, Bytes::new()).await;
            return Ok(played.unwrap_or_else(|_| self.lost(id, request_ref)));
        }
        let Some(stream) = self.replay_store.get(&(session.nonce(), place.handle)) else {
            return Ok(self.lost(id, request_ref));
        };
        let replay_body = match stream.take_up(id.number) {
            (_, Seek::AtEnd) => return Err(over()),
            (_, Seek::Truncated) => ReplayBody::torn(stream),
            (turn, Seek::Found) => {
                // So that a client which is lost again at once knows where it was.
                let first = match stream.polls {
                    true => self.priming(&stream.prefix.id(id.number, Some(turn))),
                    false => Bytes::from_static(sse::COMMENT),
                };
                ReplayBody::new(stream, turn, Some(first))
            }
        };
        Ok(reply::events(
            self.keep_alive(replay_body).outliving(&self.connector.tasks),
        ))
    }

    /// The stream is not kept any more, or not where it can be reached.
    fn lost(&self, id: &EventId, request_ref: &RequestRef) -> Response<Body> {
        let failure = Failure::new(FailureKind::Stopped, "the stream that it came on is gone");
        let message = body::failure(request_ref, failure);
        let end = id.prefix.end(id.number.saturating_add(1));
        reply::events(Body::whole(sse::event_with_id(&end, &message)))
    }
}

fn over() -> Rejection {
    Rejection::no_stream("the stream is over, and nothing followed this event")
}
