//! Resumable streams for legacy clients (2025-11-25, basic/transports, "Resumability and Redelivery").
//!
//! A stream that answers a request of a legacy client is recorded in a [`ReplayStream`], and its events carry ids. A
//! client whose connection breaks sends a GET with the id of the last event it received: the events after it are
//! replayed, then the live stream continues. The call itself is not affected.
//!
//! ```text
//! POST ─► call ─► body ─► replay stream ─► replay body ─► client
//!                              ╰───► replay body ─► the same client, by GET, here or through another replica
//! ```
//!
//! [`ReplayStore`] bounds what is kept. If events are no longer available, the client receives an error under the id
//! of its request. That error is built from the event id alone, so any replica can send it.
//!
//! A 2025-11-25 client receives a priming event with an id first, and its stream starts before the response if that
//! takes long. If a server closes its stream so that its client reconnects, the gateway passes this on. Older clients
//! support neither.

mod body;
mod event_buffer;
mod event_id;
mod stream;
mod streams;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method as Verb, Response};
use http_body::Body as HttpBody;
use portolan_core::{BoxError, Failure, FailureKind};
use portolan_wire::{envelope::Request, era::ProtocolVersion, method::Method, sse};
use tokio_util::task::TaskTracker;

use self::{body::ReplayBody, event_buffer::Seek, stream::ReplayStream};
pub(crate) use self::{
    event_id::{EventId, EventIdPrefix, RequestRef, StreamId, StreamKind},
    streams::ReplayStore,
};
use crate::{
    body::{Body, KeepAliveBody},
    config::GatewayConfig,
    replicas::{Handle, Replicas, random_handle},
    reply::{self, Rejection},
    routing::RequestContext,
    seal::TokenKeys,
};

/// The oldest version whose clients accept an event without data and reconnect by themselves (SEP-1699).
pub(crate) const MIN_PRIMING_VERSION: ProtocolVersion = ProtocolVersion::V2025_11_25;

impl RequestRef {
    /// Returns the reference to `request` that its stream keeps.
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            id: request.id.clone(),
            is_tool: request.method == Method::ToolsCall,
        }
    }
}

/// Records the streams that answer requests of legacy clients, so that clients can resume them.
#[derive(Debug)]
pub(crate) struct Replays {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    replicas: Arc<Replicas>,
    store: Arc<ReplayStore>,
    background: TaskTracker,
}

/// The part of a session that replay needs.
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

    /// Returns the time after which a call without a response gets a stream, if this session's version supports that.
    pub(crate) fn stream_after(&self, session: StreamSession) -> Option<Duration> {
        (session.version >= MIN_PRIMING_VERSION && self.store.is_used()).then_some(self.config.timeouts.stream_after)
    }

    /// Makes a streamed response resumable, if the store has room. The stream is kept alive either way, and continues
    /// when its client disconnects.
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

    /// Registers `body` as a replay stream and returns a reader at its start; returns `body` if it cannot be kept.
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
        let reconnects = session.version >= MIN_PRIMING_VERSION;
        let first = reconnects.then(|| self.priming(&prefix.id(0, None)));
        let mut source = Some(body);
        let stream = self.store.put(key, || {
            let source = source.take().unwrap_or_else(Body::empty);
            Arc::new(ReplayStream::new(
                key,
                request_ref,
                prefix,
                reconnects,
                &self.store,
                source,
            ))
        });
        match stream {
            Some(stream) => Ok(ReplayBody::new(stream, 0, first)),
            None => Err(source.unwrap_or_else(Body::empty)),
        }
    }

    /// Returns the priming event: an id without data, and the client's reconnection time.
    pub(crate) fn priming(&self, id: &str) -> Bytes {
        let millis = u64::try_from(self.config.timeouts.retry.as_millis()).unwrap_or(u64::MAX);
        sse::priming(id, Some(millis))
    }

    /// Returns the prefix of the event ids of a GET stream.
    pub(crate) fn prefix(&self, session: StreamSession, stream: Handle) -> Option<EventIdPrefix> {
        let stream = StreamId {
            session: session.nonce,
            location: self.replicas.location(stream),
            of: StreamKind::Session,
        };
        stream.seal(&self.keys)
    }

    /// Returns the event named in `Last-Event-ID`, if it belongs to this session.
    pub(crate) fn event(&self, session: StreamSession, last: &HeaderValue) -> Option<EventId> {
        let id = last.to_str().ok().and_then(|text| EventId::open(&self.keys, text));
        id.filter(|id| id.stream.session == session.nonce)
    }

    /// Resumes a stream that answers a request, in the replica that holds it.
    ///
    /// Returns 405 if there is nothing to resume, as where GET streams are not supported: the specification defines no
    /// other status. Some clients retry endlessly after other statuses, and all of them after a stream that ends at
    /// once.
    pub(crate) async fn resume(
        &self,
        context: &RequestContext,
        session: StreamSession,
        id: &EventId,
        request_ref: &RequestRef,
    ) -> Result<Response<Body>, Rejection> {
        if id.is_end {
            return Err(stream_ended());
        }
        let location = &id.stream.location;
        if !self.replicas.is_here(location) {
            let played = self.replicas.forward(context, Verb::GET, location, Bytes::new()).await;
            return Ok(played.unwrap_or_else(|_| self.lost(id, request_ref)));
        }
        let Some(stream) = self.store.get(&(session.nonce, location.handle)) else {
            return Ok(self.lost(id, request_ref));
        };
        let replay_body = match stream.resume_after(id.number) {
            (_, Seek::AtEnd) => return Err(stream_ended()),
            (_, Seek::Truncated) => ReplayBody::truncated(stream),
            (turn, Seek::Found) => {
                // Lets a client that disconnects again at once know where it was.
                let first = match stream.reconnects {
                    true => self.priming(&stream.prefix.id(id.number, Some(turn))),
                    false => Bytes::from_static(sse::COMMENT),
                };
                ReplayBody::new(stream, turn, Some(first))
            }
        };
        Ok(reply::events(self.keep_alive(replay_body).outliving(&self.background)))
    }

    /// Wraps a stream of events with keep-alive comments.
    pub(crate) fn keep_alive(
        &self,
        events: impl HttpBody<Data = Bytes, Error = BoxError> + Send + Unpin + 'static,
    ) -> Body {
        Body::relayed(KeepAliveBody::new(events, self.config.timeouts.keep_alive))
    }

    /// Returns the error for a stream that is no longer kept, or whose replica is unreachable.
    fn lost(&self, id: &EventId, request_ref: &RequestRef) -> Response<Body> {
        let failure = Failure::new(FailureKind::Stopped, "its stream is no longer kept");
        let message = body::failure(request_ref, failure);
        let end = id.prefix.end(id.number.saturating_add(1));
        reply::events(Body::whole(sse::event_with_id(&end, &message)))
    }
}

fn stream_ended() -> Rejection {
    Rejection::no_stream("the stream has ended and no event follows this one")
}
