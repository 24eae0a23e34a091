//! GET: the streams of a session (2025-11-25, basic/transports "Listening for Messages from the Server").

use std::sync::Arc;

use http::{Response, StatusCode};
use portolan_wire::{header, sse};

use super::Protocol;
use crate::{
    body::Body,
    edge,
    replay::{EventId, MIN_PRIMING_VERSION, StreamKind},
    reply::{self, Rejection},
    routing::RequestContext,
    sessions::Session,
    subscriptions::StreamBody,
};

impl Protocol {
    /// Opens a stream of a session, or resumes the stream of the event that the client names.
    pub(crate) async fn get(&self, context: &Arc<RequestContext>) -> Result<Response<Body>, Rejection> {
        if !edge::names_session(&context.headers) {
            return Err(Rejection::method("POST"));
        }
        if !edge::accepts(&context.headers, "text", "event-stream") {
            let problem = "accept must list text/event-stream";
            return Err(Rejection::http(StatusCode::NOT_ACCEPTABLE, problem));
        }
        let session = self.session(context).await?;
        let last = match header::single(&context.headers, &header::LAST_EVENT_ID) {
            Ok(None) => return self.session_stream(context, &session, None),
            Ok(Some(last)) => self.replays.event(session.stream_session(), last),
            Err(fault) => return Err(Rejection::http(StatusCode::BAD_REQUEST, fault.to_string())),
        };
        // No 405, which clients read as "there are no streams here".
        let last = last.ok_or_else(|| {
            let problem = "no event of this session has this id; open a stream without Last-Event-ID";
            Rejection::http(StatusCode::BAD_REQUEST, problem)
        })?;
        match &last.stream.of {
            StreamKind::Session => self.session_stream(context, &session, Some(&last)),
            StreamKind::Request(request) => {
                let session = session.stream_session();
                self.replays.resume(context, session, &last, request).await
            }
        }
    }

    /// Opens a stream for notifications that belong to no request. If several are open, the newest gets the messages.
    ///
    /// With the id of an event, resumes the stream of that event, as far as this replica still has the messages after
    /// it; if it does not, the client is notified that its lists may have changed.
    fn session_stream(
        &self,
        context: &Arc<RequestContext>,
        session: &Arc<Session>,
        last: Option<&EventId>,
    ) -> Result<Response<Body>, Rejection> {
        let from = last.map(|last| (last.stream.location.handle, last.number));
        let (reader, guard) = self.subscriptions.open_session_stream(context, session, from)?;
        let prefix = match last {
            Some(last) => Some(last.prefix.clone()),
            None => self.replays.prefix(session.stream_session(), reader.stream()),
        };
        // The first bytes show proxies and the client that the stream is open.
        let first = match &prefix {
            Some(prefix) if session.version >= MIN_PRIMING_VERSION => {
                let id = prefix.id(reader.read_until(), Some(reader.id()));
                self.replays.priming(&id)
            }
            _ => bytes::Bytes::from_static(sse::COMMENT),
        };
        let body = StreamBody::new(reader, first).with_ids(prefix);
        Ok(reply::events(self.replays.keep_alive(body).with_guard(guard)))
    }
}
