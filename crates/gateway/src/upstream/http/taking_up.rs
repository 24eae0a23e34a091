//! A stream of a call that was left, or broke off, and is taken up again (2025-11-25, basic/transports).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{era::Era, header as mcp};

use super::{HttpUpstream, is_events};
use crate::upstream::{
    Heir, Left, Reply, cancel::Unanswered, connection::Driven, convert::Conversion, events::EventRelay, lease::Lease,
    patience::Patience, session::Open, underway::Underway,
};

const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What comes of taking a stream up again.
#[derive(Debug)]
pub(crate) enum TakenUp {
    /// The rest of the stream.
    Body(Box<Driven>),
    /// Nothing, and it may be tried again.
    NotNow,
    /// The server does not have it any more.
    Never,
}

impl HttpUpstream {
    /// Goes on with a call whose stream was left, perhaps by another replica.
    pub(crate) async fn resume(self: &Arc<Self>, left: &Left, heir: Heir<'_>) -> Result<Reply> {
        let outgoing = heir.outgoing;
        let kept = left.seat.session.as_deref().and_then(|id| self.take_back(id));
        let (session, open, lease) = match kept {
            Some((session, open)) => {
                let mut lease = Lease::take(self, &session, &open, outgoing.credential, true);
                lease.begin(&left.call);
                (Some(session), open, Some(Box::new(lease)))
            }
            None => {
                let open = Open::at(&left.seat);
                let open = open.ok_or_else(|| Error::invalid("session", "is none of this server"))?;
                (None, Arc::new(open), None)
            }
        };
        let mut conversion = Conversion::new(outgoing, Era::Legacy, left.call.clone(), &self.server);
        conversion.retold = Some(heir.token);
        let unanswered = Unanswered::legacy(
            session,
            self.clone(),
            open,
            outgoing.credential.clone(),
            left.call.clone(),
            outgoing.client.hanging_up(),
        )
        .hearing(lease);
        let underway = Underway {
            conversion,
            unanswered,
            patience: Patience::new(&self.connector.config.timeouts, None),
        };
        let relay = EventRelay::left(self.clone(), underway, left.event.clone(), heir.known);
        relay.settle().await
    }

    /// Takes a stream up again, from after the event `from`.
    pub(crate) async fn take_up(&self, open: &Open, credential: &UpstreamCredential, from: &Bytes) -> TakenUp {
        let Ok(from) = HeaderValue::from_bytes(from) else {
            return TakenUp::Never;
        };
        let mut headers = self.headers_in(open, credential, &HeaderMap::new());
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, EVENTS);
        headers.insert(mcp::LAST_EVENT_ID, from);
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return TakenUp::Never;
        };
        *request.method_mut() = Verb::GET;
        let Ok(response) = self.send(request, credential).await else {
            return TakenUp::NotNow;
        };
        let status = response.status();
        match status {
            StatusCode::OK if is_events(response.headers()) => TakenUp::Body(Box::new(response.into_body())),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => TakenUp::NotNow,
            _ => TakenUp::Never,
        }
    }
}
