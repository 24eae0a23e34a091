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
//! . A server that closes its stream to have its client come back is passed on to it. Older clients know neither.

mod body;
mod buffer;
mod event_id;
mod store;
mod stream;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Response};
use http_body::Body as HttpBody;
use portolan_core::{BoxError, Failure, FailureKind};
use portolan_wire::{envelope::Request, era::ProtocolVersion, method::Method, sse};
use tokio_util::task::TaskTracker;

use self::{body::ReplayBody, buffer::Seek, stream::ReplayStream};
pub(crate) use self::{
    event_id::{EventId, EventIdPrefix, RequestRef, StreamId, StreamKind},
    store::ReplayStore,
};
use crate::{
    body::{Body, KeepAliveBody},
    config::GatewayConfig,
    replicas::{Handle, Replicas, random_handle},
    reply::{self, Rejection},
    routing::RequestContext,
    seal::TokenKeys,
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

/// Keeps the streams that answer requests of legacy clients, so that these can resume them.
#[derive(Debug)]
pub(crate) struct Replays {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    replicas: Arc<Replicas>,
    store: Arc<ReplayStore>,
    background: TaskTracker,
}

/// The session of a stream, as far as replay needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamSession {
    pub(crate) nonce: Handle,
    pub(crate) version: ProtocolVersion,
}

impl Replays {
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        keys: &Arc<TokenKeys>,
        replicas: &Arc<Replicas>,
        store: &Arc<ReplayStore>,
        background: &TaskTracker,
    ) -> Self {
        Self {
            config: config.clone(),
            keys: keys.clone(),
            replicas: replicas.clone(),
            store: store.clone(),
            background: background.clone(),
        }
    }

    /// After how long a call of this session that has no answer yet gets a stream.
    pub(crate) fn stream_after(&self, session: StreamSession) -> Option<Duration> {
        (session.version >= MIN_PRIMING_VERSION && self.store.is_used()).then_some(self.config.timeouts.stream_after)
    }

    /// Makes the stream that answers a request, if it is one, one that its client can take up again; while there is room for
    /// that. Either way it is kept awake, and goes on when its client goes away.
    pub(crate) fn keep(
        &self,
        session: StreamSession,
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
            body.outliving(&self.background)
        })
    }

    /// A stream of this stream, with the client that has it from the beginning.
    fn stream(&self, session: StreamSession, request_ref: RequestRef, body: Body) -> Result<ReplayBody, Body> {
        let key = (session.nonce, random_handle());
        let id = StreamId {
            session: key.0,
            location: self.replicas.location(key.1),
            of: StreamKind::Request(request_ref.clone()),
        };
        let Some(prefix) = id.seal(&self.keys).filter(|_| self.store.is_used()) else {
            return Err(body);
        };
        let polls = session.version >= MIN_PRIMING_VERSION;
        let first = polls.then(|| self.priming(&prefix.id(0, None)));
        let mut source = Some(body);
        let stream = self.store.put(key, || {
            let source = source.take().unwrap_or_else(Body::empty);
            Arc::new(ReplayStream::new(key, request_ref, prefix, polls, &self.store, source))
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

    /// What the ids of the events of a GET stream begin with.
    pub(crate) fn prefix(&self, session: StreamSession, stream: Handle) -> Option<EventIdPrefix> {
        let stream = StreamId {
            session: session.nonce,
            location: self.replicas.location(stream),
            of: StreamKind::Session,
        };
        stream.seal(&self.keys)
    }

    /// The event that a client names in `Last-Event-ID`, if it is one of this session.
    pub(crate) fn event(&self, session: StreamSession, last: &HeaderValue) -> Option<EventId> {
        let id = last.to_str().ok().and_then(|text| EventId::open(&self.keys, text));
        id.filter(|id| id.stream.session == session.nonce)
    }

    /// Goes on with a stream that answers a request, in the replica that has it.
    ///
    /// Where there is nothing to go on with, the answer is 405, as where there are no streams at all: the specification
    /// knows no other, and clients take it for what it is. After others some of them come again and again, and after a
    /// stream that ends at once all of them.
    pub(crate) async fn resume(
        &self,
        context: &RequestContext,
        session: StreamSession,
        id: &EventId,
        request_ref: &RequestRef,
    ) -> Result<Response<Body>, Rejection> {
        if id.is_end {
            return Err(over());
        }
        let location = &id.stream.location;
        if !self.replicas.is_here(location) {
            let played = self.replicas.forward(context, Verb::GET, location, Bytes::new()).await;
            return Ok(played.unwrap_or_else(|_| self.lost(id, request_ref)));
        }
        let Some(stream) = self.store.get(&(session.nonce, location.handle)) else {
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
        Ok(reply::events(self.keep_alive(replay_body).outliving(&self.background)))
    }

    /// A stream of events, kept alive.
    pub(crate) fn keep_alive(
        &self,
        events: impl HttpBody<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    ) -> Body {
        Body::relayed(KeepAliveBody::new(events, self.config.timeouts.keep_alive))
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
