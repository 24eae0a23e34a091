//! Handles responses with a status other than 200.

use std::pin::pin;

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_core::{Failure, FailureKind, Result};
use portolan_wire::{
    envelope,
    error::{self as mcp_error, ErrorObject},
    method::Method,
};

use crate::{
    calls::{
        in_flight::InFlightCall,
        reply::Reply,
        streamable_http::{HttpUpstream, prepare::SessionInUse},
        timeout::WaitError,
    },
    collect,
    conversion::Converted,
    http1::body::ResponseBody,
    request::UpstreamRequest,
};

/// The number of bytes that are read of an error body.
const ERROR_BYTES: usize = 64 * 1024;

/// A response that is no success: the message for the client, and what can be tried before.
pub(crate) enum Refused {
    /// The server does not support the version (-32022).
    OtherVersion(Reply),
    /// The headers lack what the server requires (-32020).
    HeaderMismatch(Bytes),
    /// The server has forgotten the session, and has not executed the call.
    Forgotten,
    /// Any other response.
    Otherwise(Reply),
    /// The client has cancelled.
    Cancelled,
}

impl HttpUpstream {
    /// Reads a response with a status other than 200. `session` is the session of the call, if another one may be opened.
    pub(crate) async fn refused(
        &self,
        request: &UpstreamRequest<'_>,
        response: Response<ResponseBody>,
        in_flight: &mut InFlightCall,
        session: Option<&SessionInUse>,
    ) -> Result<Refused> {
        in_flight.cancel_on_drop.answered();
        let (head, body) = response.into_parts();
        let (status, read) = (head.status, collect::body(body, ERROR_BYTES));
        let text = match in_flight.timeout.wait(pin!(read)).await {
            Ok(text) => text.unwrap_or_default(),
            Err(WaitError::Timeout(error)) => return Err(error),
            Err(WaitError::Cancelled) => return Ok(Refused::Cancelled),
        };
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(self.http.unwelcome(status));
        }
        if let Some((session, open)) = session {
            let refusal = (&in_flight.conversion.sent, status, &text);
            let asking = self.http.has_forgotten(open, request.credential, refusal);
            match in_flight.timeout.wait(pin!(asking)).await {
                Ok(true) => {
                    session.expire(open);
                    self.http.note_forgotten();
                    return Ok(Refused::Forgotten);
                }
                Ok(false) => {}
                Err(WaitError::Timeout(error)) => return Err(error),
                Err(WaitError::Cancelled) => return Ok(Refused::Cancelled),
            }
        }
        if status.is_client_error()
            && let Ok(envelope::Incoming::One(envelope::Message::Response(response))) =
                envelope::parse(&text, &envelope::ParseLimits::default())
            && let envelope::Outcome::Error(raw) = &response.outcome
        {
            let (code, conversion) = (ErrorObject::parse(raw).map(|error| error.code), &in_flight.conversion);
            let said = conversion.message(&response.outcome);
            if code.is_some_and(|code| speaks_otherwise(code, &conversion.method)) {
                self.http.eras.forget();
            }
            return Ok(match (code, said) {
                (Some(mcp_error::UNSUPPORTED_PROTOCOL_VERSION), said) => Refused::OtherVersion(said.into()),
                (Some(mcp_error::HEADER_MISMATCH), Converted::Message(message)) => Refused::HeaderMismatch(message),
                (_, said) => Refused::Otherwise(said.into()),
            });
        }
        if status.is_redirection() {
            return Err(self.http.redirected(status, &head.headers));
        }
        let failure = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Failure::new(FailureKind::Connection, format!("it responded with HTTP {status}"))
        } else {
            // A server of the other era responds like this, too.
            self.http.eras.forget();
            Failure::new(FailureKind::Protocol, format!("it responded with HTTP {status}"))
        };
        Err(self.http.failed(failure))
    }
}

/// Returns `true` for an error with which a server of the other era responds: then it is probed again.
fn speaks_otherwise(code: i64, method: &Method) -> bool {
    match code {
        mcp_error::HEADER_MISMATCH | mcp_error::INVALID_REQUEST | mcp_error::UNSUPPORTED_PROTOCOL_VERSION => true,
        // Each server has `tools/call`. Other methods may not exist (2026-07-28, basic/transports).
        mcp_error::METHOD_NOT_FOUND => *method == Method::ToolsCall,
        _ => false,
    }
}
