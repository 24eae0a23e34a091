//! The GET stream of a session (2025-11-25, basic/transports "Listening for Messages from the Server").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_core::Error;
use portolan_wire::{header, sse};

use super::{NotificationQueue, Subscriber, body::StreamBody, listen};
use crate::{
    body::Body,
    intake,
    replay::{EventId, EventIdPrefix, MIN_PRIMING_VERSION, StreamId, StreamKind},
    reply::{self, Rejection},
    request_context::RequestContext,
    server_requests::{Handle, SessionRequester},
    service::Inner,
    session::Session,
    tasks::Watching,
    upstream::{ListKind, NotificationFilter},
};

impl Inner {
    /// GET: opens a stream of a session, or goes on with one of which the client names an event.
    pub(crate) async fn open_stream(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
    ) -> Result<Response<Body>, Rejection> {
        if !intake::names_session(&context.headers) {
            return Err(Rejection::method("POST"));
        }
        if !intake::takes(&context.headers, "text", "event-stream") {
            let problem = "accept must list text/event-stream";
            return Err(Rejection::http(StatusCode::NOT_ACCEPTABLE, problem));
        }
        let session = self.session(context).await?;
        match header::single(&context.headers, &header::LAST_EVENT_ID) {
            Ok(None) => self.session_stream(context, &session, None),
            Ok(Some(last)) => self.take_up(context, &session, last).await,
            Err(fault) => Err(Rejection::http(StatusCode::BAD_REQUEST, fault.to_string())),
        }
    }

    /// Opens a stream for what belongs to no request. Of several, the newest gets the messages.
    ///
    /// With the id of an event, it goes on with the stream that this was on, as far as this replica still knows what came
    /// after it; and where it does not, the client is told that its lists may have changed.
    pub(crate) fn session_stream(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        session: &Arc<Session>,
        last: Option<&EventId>,
    ) -> Result<Response<Body>, Rejection> {
        if self.streams.is_draining() {
            return Err(listen::closing());
        }
        let place = self.streams.limits.stream().map_err(|full| listen::crowded(&full))?;
        let subscriber = self.listener_of(session, context);
        let most = self.config.limits.session_streams;
        let from = last.map(|last| (last.stream.place.handle, last.number));
        let Some(reader) = subscriber.queue.open(most, from) else {
            return Err(listen::crowded(&Error::Exhausted {
                what: "streams of one session",
                limit: most,
            }));
        };
        subscriber.came_in(context);
        session.follow_asides(&subscriber);
        let (inner, context) = (self.clone(), context.clone());
        let attaching = subscriber;
        self.connector.tasks.spawn(async move {
            inner.attach(&attaching, &context.gateway, Duration::ZERO).await;
        });
        let prefix = match last {
            Some(last) => Some(last.prefix.clone()),
            None => self.prefix(session, reader.stream()),
        };
        // The first bytes show a proxy, and the client, that the stream is there.
        let first = match &prefix {
            Some(prefix) if session.version >= MIN_PRIMING_VERSION => {
                self.priming(&prefix.id(reader.read_until(), Some(reader.id())))
            }
            _ => Bytes::from_static(sse::COMMENT),
        };
        let body = StreamBody::new(reader, first).with_ids(prefix);
        Ok(reply::events(
            self.keep_alive(body).with_guard((session.clone(), place)),
        ))
    }

    /// What the ids of a stream begin with.
    fn prefix(&self, session: &Session, stream: Handle) -> Option<EventIdPrefix> {
        let stream = StreamId {
            session: session.nonce(),
            place: self.server_requests.place(stream),
            of: StreamKind::Session,
        };
        stream.seal(&self.keys)
    }

    /// The listener of a session, made when it is first needed.
    pub(crate) fn listener_of(self: &Arc<Self>, session: &Session, context: &RequestContext) -> Arc<Subscriber> {
        let make = || {
            let filter = NotificationFilter {
                lists: ListKind::ALL.map(|_| true),
                uris: session.subscriptions(),
                tasks: BTreeSet::new(),
                log: session.level(),
                elicitations: true,
            };
            let queue = NotificationQueue::new(None, self.config.limits.stream_queue);
            let subscriber = Subscriber::new(
                context,
                queue,
                filter,
                Watching::new(),
                Some(SessionRequester::of(self, session)),
            );
            self.streams.note(&subscriber);
            subscriber
        };
        self.keep();
        session.subscriber(make)
    }
}
