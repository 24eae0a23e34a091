//! A call that was left, perhaps by another replica, and goes on here.

use std::sync::Arc;

use portolan_core::{Error, Result};
use portolan_wire::era::Era;

use crate::{
    calls::{
        cancel_on_drop::CancelOnDrop,
        in_flight::InFlightCall,
        reply::Reply,
        steps::{ResumeRequest, StreamCheckpoint},
        streamable_http::{HttpUpstream, events::EventRelay, events_reply},
        timeout::CallTimeout,
    },
    conversion::Conversion,
    http_server::open_session::OpenSession,
    session::exclusive::ExclusiveSession,
};

impl HttpUpstream {
    /// Resumes a call whose stream was left, perhaps by another replica.
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
        let (from, known) = (checkpoint.event.clone(), resumed.known);
        let relay = EventRelay::resumed(self.http.clone(), request.credential, in_flight, from, known);
        Reply::begun(relay.settle().await, events_reply)
    }
}
