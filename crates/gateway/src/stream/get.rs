//! The GET stream of a session (2025-11-25, basic/transports "Listening for Messages from the Server").

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_core::Error;
use portolan_wire::sse;

use super::{Listener, Outbox, body::StreamBody, listen};
use crate::{
    body::Body,
    intake,
    question::Desk,
    reply::{self, Rejection},
    service::Inner,
    session::Session,
    upstream::{Interest, List},
    visit::Visit,
};

impl Inner {
    /// Opens a stream of a session. Of several, the newest gets the messages.
    pub(crate) async fn open_stream(self: &Arc<Self>, visit: &Arc<Visit>) -> Result<Response<Body>, Rejection> {
        if !intake::names_session(&visit.headers) {
            return Err(Rejection::method("POST"));
        }
        if !intake::takes(&visit.headers, "text", "event-stream") {
            let problem = "accept must list text/event-stream";
            return Err(Rejection::http(StatusCode::NOT_ACCEPTABLE, problem));
        }
        let session = self.session(visit).await?;
        if self.streams.is_draining() {
            return Err(listen::closing());
        }
        let place = self.streams.places.stream().map_err(|full| listen::crowded(&full))?;
        let listener = self.listener_of(&session, visit);
        let most = self.config.limits.session_streams;
        let Some(reader) = listener.outbox.open(most) else {
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
        // The first bytes show a proxy, and the client, that the stream is there.
        let first = Bytes::from_static(sse::COMMENT);
        let body = StreamBody::new(reader, first, None, self.config.timeouts.keep_alive);
        Ok(reply::events(Body::relayed(body).attended((session, place))))
    }

    /// The listener of a session, made when it is first needed.
    pub(crate) fn listener_of(self: &Arc<Self>, session: &Session, visit: &Visit) -> Arc<Listener> {
        let make = || {
            let interest = Interest {
                lists: List::ALL.map(|_| true),
                uris: session.subscriptions(),
                log: session.level(),
                elicitations: true,
            };
            let outbox = Outbox::new(None, self.config.limits.stream_queue);
            let listener = Listener::new(visit, outbox, interest, Some(Desk::of(self, session)));
            self.streams.note(&listener);
            listener
        };
        self.keep();
        session.listener(make)
    }
}
