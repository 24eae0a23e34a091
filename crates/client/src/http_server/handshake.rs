//! Opens a session at a legacy server.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use portolan_core::{Failure, FailureKind, Result, UpstreamCredential};
use portolan_wire::{
    envelope,
    era::{Era, ProtocolVersion},
    header as mcp,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};

use crate::{
    client_meta::client_info,
    collect,
    http_server::{HttpServer, open_session::OpenSession},
};

impl HttpServer {
    /// Sends `initialize` with the client's `capabilities`, a raw JSON object, and `notifications/initialized` (2025-11-25, basic/lifecycle).
    pub(crate) async fn handshake(
        &self,
        version: ProtocolVersion,
        credential: &UpstreamCredential,
        capabilities: Bytes,
    ) -> Result<OpenSession> {
        let mut params = RawObject::new();
        params.set("protocolVersion", object::quote(version.as_str()));
        params.set("capabilities", capabilities);
        params.set("clientInfo", client_info(&self.client.config().name));
        let text = envelope::request(&RequestId::from_u64(0), &Method::Initialize, Some(&params.to_bytes()));
        let headers = self.headers(credential);
        let (head, body) = self.exchange(headers, text, credential, "initialize").await?;
        if head.status == StatusCode::UNAUTHORIZED || head.status == StatusCode::FORBIDDEN {
            return Err(self.unwelcome(head.status));
        }
        if head.status.is_redirection() {
            return Err(self.redirected(head.status, &head.headers));
        }
        let agreed = collect::outcome(&body).and_then(|outcome| match outcome {
            envelope::Outcome::Result(raw) => {
                let result = RawObject::parse(&raw).ok()?;
                let version = object::text(result.get("protocolVersion")?)?.into_owned();
                Some((version, raw))
            }
            envelope::Outcome::Error(_) => None,
        });
        let Some((agreed, result)) = agreed.filter(|_| head.status == StatusCode::OK) else {
            self.eras.forget();
            let cause = if head.status.is_server_error() {
                FailureKind::Connection
            } else {
                FailureKind::Protocol
            };
            return Err(self.failed(Failure::new(cause, format!("initialize failed: HTTP {}", head.status))));
        };
        let version = agreed_version(&agreed).ok_or_else(|| {
            self.failed(Failure::new(
                FailureKind::Protocol,
                "it negotiated a protocol version that this client does not support",
            ))
        })?;
        self.info.learn(&result);
        let open = OpenSession::new(head.headers.get(mcp::SESSION_ID).cloned(), version);
        self.notify(&open, credential, envelope::notification(&Method::Initialized, None))
            .await;
        Ok(open)
    }
}

/// The version that a server wants to speak in a session, if it is spoken here.
fn agreed_version(agreed: &str) -> Option<HeaderValue> {
    match ProtocolVersion::parse(agreed) {
        Some(version) if version.era() == Era::Legacy => Some(HeaderValue::from_static(version.as_str())),
        // Older than what is relayed, but the same as far as this client goes.
        None if agreed == "2024-11-05" => Some(HeaderValue::from_static("2024-11-05")),
        _ => None,
    }
}
