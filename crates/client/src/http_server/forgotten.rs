//! Tells from the refusal of a request whether the server has forgotten its session.

use bytes::Bytes;
use http::StatusCode;
use portolan_core::UpstreamCredential;
use portolan_wire::{
    envelope::{self, Incoming, Message, Outcome},
    error::{ErrorObject, HEADER_MISMATCH, PARSE_ERROR, UNSUPPORTED_PROTOCOL_VERSION},
    id::RequestId,
    method::Method,
    object::RawObject,
};

use crate::http_server::{HttpServer, open_session::OpenSession};

impl HttpServer {
    /// Returns `true` if the refusal `text` of the request `sent` means that the server does not know the session.
    ///
    /// The specification wants 404 (2025-11-25, basic/transports, session management 3). Many servers respond with 400
    /// instead: with an error that does not name the request, or with a text, which may mean anything. Then the server is
    /// asked once more.
    pub(crate) async fn has_forgotten(
        &self,
        open: &OpenSession,
        credential: &UpstreamCredential,
        (sent, status, text): (&RequestId, StatusCode, &Bytes),
    ) -> bool {
        if open.id.is_none() {
            return false;
        }
        match status {
            StatusCode::NOT_FOUND => true,
            StatusCode::BAD_REQUEST | StatusCode::GONE => match judge(text, sent) {
                Some(forgotten) => forgotten,
                None => self.refuses_session(open, credential).await,
            },
            _ => false,
        }
    }

    /// Pings the server in a session. Returns `true` if it refuses.
    pub(crate) async fn refuses_session(&self, open: &OpenSession, credential: &UpstreamCredential) -> bool {
        let headers = self.headers_in(open, credential, &http::HeaderMap::new());
        let ping = envelope::request(&self.next_id(), &Method::Ping, Some(&RawObject::new().to_bytes()));
        let answered = self.exchange(headers, ping, credential, "ping").await;
        answered.is_ok_and(|(head, _)| {
            matches!(
                head.status,
                StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::GONE
            )
        })
    }
}

/// Returns whether an error that does not name the request is about the session; `None` if the text is no error.
fn judge(text: &Bytes, sent: &RequestId) -> Option<bool> {
    let parsed = envelope::parse(text, &envelope::ParseLimits::default());
    let Ok(Incoming::One(Message::Response(response))) = parsed else {
        return None;
    };
    let Outcome::Error(raw) = &response.outcome else {
        return None;
    };
    let code = ErrorObject::parse(raw).map(|error| error.code);
    let is_about_message = matches!(code, Some(PARSE_ERROR | HEADER_MISMATCH | UNSUPPORTED_PROTOCOL_VERSION));
    Some(response.id.as_ref() != Some(sent) && !is_about_message)
}
