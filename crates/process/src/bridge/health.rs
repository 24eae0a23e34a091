//! Whether the server can be called, for the kubelet and for people.

use bytes::Bytes;
use http::StatusCode;
use portolan_core::Failure;
use serde_json::json;

use super::reply::{self, Reply};
use crate::stdio_channel::Phase;

/// What `GET /healthz` says.
pub(super) fn reply(phase: &Phase, is_leaving: bool) -> Reply {
    let (status, state) = match phase {
        _ if is_leaving => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "stopping"})),
        Phase::Ready(ready) => {
            let version = ready.handshake.as_ref().map(|handshake| handshake.version.as_str());
            (StatusCode::OK, json!({"status": "ready", "protocolVersion": version}))
        }
        Phase::Starting(None) => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "starting"})),
        Phase::Starting(Some(failure)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "restarting", "failure": told(failure)}),
        ),
        Phase::Down(failure) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "failed", "failure": told(failure)}),
        ),
    };
    reply::json(status, [Bytes::from(state.to_string())])
}

/// Without log lines: this is asked without a token.
fn told(failure: &Failure) -> Failure {
    let mut told = failure.clone();
    told.detail.clear();
    told
}
