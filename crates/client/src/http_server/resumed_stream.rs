//! A stream of a call that broke off or was left, taken up again (2025-11-25, basic/transports).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, StatusCode, header};
use portolan_core::UpstreamCredential;
use portolan_wire::header as mcp;

use crate::{
    collect::is_events,
    http_server::{HttpServer, open_session::OpenSession},
    http1::body::ResponseBody,
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

impl HttpServer {
    /// Takes a stream up again, from after the event `from`.
    pub(crate) async fn take_up(
        &self,
        open: &OpenSession,
        credential: &UpstreamCredential,
        from: &Bytes,
    ) -> ResumeOutcome {
        let Ok(from) = HeaderValue::from_bytes(from) else {
            return ResumeOutcome::Never;
        };
        let mut headers = self.headers_in(open, credential, &HeaderMap::new());
        headers.remove(header::CONTENT_TYPE);
        headers.insert(header::ACCEPT, EVENTS);
        headers.insert(mcp::LAST_EVENT_ID, from);
        let Ok(mut request) = self.post(headers, Bytes::new()) else {
            return ResumeOutcome::Never;
        };
        *request.method_mut() = Verb::GET;
        let Ok(response) = self.send(request, credential).await else {
            return ResumeOutcome::NotNow;
        };
        let status = response.status();
        match status {
            StatusCode::OK if is_events(response.headers()) => ResumeOutcome::Body(Box::new(response.into_body())),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => ResumeOutcome::NotNow,
            _ => ResumeOutcome::Never,
        }
    }
}
