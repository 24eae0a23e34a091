//! The GET stream of a session (2025-11-25, basic/transports "Listening for Messages from the Server").

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_core::Error;
use portolan_wire::{header, sse};

use super::{Listener, Outbox, body::StreamBody, listen};
use crate::{
    body::Body,
    intake,
    question::{Desk, Handle},
    reply::{self, Rejection},
    resume::{EventId, Of, POLLS, Stem, StreamId},
    service::Inner,
    session::Session,
    tasks::Watching,
    upstream::{Interest, List},
    visit::Visit,
};

impl Inner {
    /// GET: opens a stream of a session, or goes on with one of which the client names an event.
    pub(crate) async fn open_stream(self: &Arc<Self>, visit: &Arc<Visit>) -> Result<Response<Body>, Rejection> {
        if !intake::names_session(&visit.headers) {
            return Err(Rejection::method("POST"));
        }
        if !intake::takes(&visit.headers, "text", "event-stream") {
            let problem = "accept must list text/event-stream";
            return Err(Rejection::http(StatusCode::NOT_ACCEPTABLE, problem));
        }
        let session = self.session(visit).await?;
        match header::single(&visit.headers, &header::LAST_EVENT_ID) {
            Ok(None) => self.session_stream(visit, &session, None),
            Ok(Some(last)) => self.take_up(visit, &session, last).await,
            Err(fault) => Err(Rejection::http(StatusCode::BAD_REQUEST, fault.to_string())),
        }
    }

    /// Opens a stream for what belongs to no request. Of several, the newest gets the messages.
    ///
    /// With the id of an event, it goes on with the stream that this was on, as far as this replica still knows what came
    /// after it; and where it does not, the client is told that its lists may have changed.
    pub(crate) fn session_stream(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
        session: &Arc<Session>,
        last: Option<&EventId>,
    ) -> Result<Response<Body>, Rejection> {
        if self.streams.is_draining() {
            return Err(listen::closing());
        }
        let place = self.streams.places.stream().map_err(|full| listen::crowded(&full))?;
        let listener = self.listener_of(session, visit);
        let most = self.config.limits.session_streams;
        let from = last.map(|last| (last.stream.place.handle, last.number));
        let Some(reader) = listener.outbox.open(most, from) else {
            return Err(listen::crowded(&Error::Exhausted {
                what: "streams of one session",
                limit: most,
            }));
        };
        listener.came_in(visit);
        session.follow_asides(&listener);
        let (inner, visit) = (self.clone(), visit.clone());
        let attaching = listener;
        self.connector.tasks.spawn(async move {
            inner.attach(&attaching, &visit.gateway, Duration::ZERO).await;
        });
        let stem = match last {
            Some(last) => Some(last.stem.clone()),
            None => self.stem(session, reader.stream()),
        };
        // The first bytes show a proxy, and the client, that the stream is there.
        let first = match &stem {
            Some(stem) if session.version >= POLLS => self.priming(&stem.id(reader.read_until(), Some(reader.id()))),
            _ => Bytes::from_static(sse::COMMENT),
        };
        let body = StreamBody::new(reader, first).with_ids(stem);
        Ok(reply::events(self.awake(body).attended((session.clone(), place))))
    }

    /// What the ids of a stream begin with.
    fn stem(&self, session: &Session, stream: Handle) -> Option<Stem> {
        let stream = StreamId {
            session: session.nonce(),
            place: self.questions.place(stream),
            of: Of::Session,
        };
        stream.seal(&self.keys)
    }

    /// The listener of a session, made when it is first needed.
    pub(crate) fn listener_of(self: &Arc<Self>, session: &Session, visit: &Visit) -> Arc<Listener> {
        let make = || {
            let interest = Interest {
                lists: List::ALL.map(|_| true),
                uris: session.subscriptions(),
                tasks: BTreeSet::new(),
                log: session.level(),
                elicitations: true,
            };
            let outbox = Outbox::new(None, self.config.limits.stream_queue);
            let listener = Listener::new(visit, outbox, interest, Watching::new(), Some(Desk::of(self, session)));
            self.streams.note(&listener);
            listener
        };
        self.keep();
        session.listener(make)
    }
}
