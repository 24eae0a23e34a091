//! A stream of a call that was left, or broke off, and is taken up again (2025-11-25, basic/transports).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{era::Era, header as mcp};

use crate::{
    calls::{
        cancel_on_drop::CancelOnDrop,
        in_flight::InFlightCall,
        reply::Reply,
        steps::{ResumeRequest, StreamCheckpoint},
        streamable_http::{HttpUpstream, events::EventRelay},
        timeout::CallTimeout,
    },
    collect::is_events,
    conversion::Conversion,
    http_server::{HttpServer, open_session::OpenSession},
    http1::body::ResponseBody,
    session::exclusive::ExclusiveSession,
};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What comes of taking a stream up again.
#[derive(Debug)]
pub(crate) enum ResumeOutcome {
    /// The rest of the stream.
    Body(Box<ResponseBody>),
    /// Nothing, and it may be tried again.
    NotNow,
    /// The server does not have it any more.
    Never,
}

impl HttpUpstream {
    /// Goes on with a call whose stream was left, perhaps by another replica.
    pub(crate) async fn resume(&self, checkpoint: &StreamCheckpoint, resumed: ResumeRequest<'_>) -> Result<Reply> {
        let request = resumed.request;
        let kept = checkpoint
            .session_ref
            .session
            .as_deref()
            .and_then(|id| self.sessions.take_back(id));
        let (session, open, exclusive) = match kept {
            Some((session, open)) => {
                let mut exclusive = ExclusiveSession::take(&self.sessions, &session, &open, request.credential, true);
                exclusive.begin(&checkpoint.call);
                (Some(session), open, Some(Box::new(exclusive)))
            }
            None => {
                let open = OpenSession::at(&checkpoint.session_ref);
                let open = open.ok_or_else(|| Error::invalid("session", "is none of this server"))?;
                (None, Arc::new(open), None)
            }
        };
        let mut conversion = Conversion::new(request, Era::Legacy, checkpoint.call.clone(), &self.http.server);
        conversion.retold = Some(resumed.token);
        let cancel_on_drop = CancelOnDrop::legacy(
            session,
            self.http.clone(),
            open,
            request.credential.clone(),
            checkpoint.call.clone(),
            request.requester.on_disconnect(),
        )
        .listening(exclusive);
        let in_flight = InFlightCall {
            conversion,
            cancel_on_drop,
            timeout: CallTimeout::new(self.http.timeouts(), None),
        };
        let relay = EventRelay::resumed(self.http.clone(), in_flight, checkpoint.event.clone(), resumed.known);
        relay.settle().await
    }
}

impl ResumeOutcome {
    /// Takes a stream up again, from after the event `from`.
    pub(crate) async fn take_up(
        http: &HttpServer,
        open: &OpenSession,
        credential: &UpstreamCredential,
        from: &Bytes,
    ) -> Self {
        let Ok(from) = HeaderValue::from_bytes(from) else {
            return Self::Never;
        };
        let mut headers = http.headers_in(open, credential, &HeaderMap::new());
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, EVENTS);
        headers.insert(mcp::LAST_EVENT_ID, from);
        let Ok(mut request) = http.post(headers, Bytes::new()) else {
            return Self::Never;
        };
        *request.method_mut() = Verb::GET;
        let Ok(response) = http.send(request, credential).await else {
            return Self::NotNow;
        };
        let status = response.status();
        match status {
            StatusCode::OK if is_events(response.headers()) => Self::Body(Box::new(response.into_body())),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => Self::NotNow,
            _ => Self::Never,
        }
    }
}
