//! Whether the server can be called, for the kubelet and for people.

use bytes::Bytes;
use http::StatusCode;
use portolan_core::Failure;
use serde_json::json;

use super::reply::{self, Reply};
use crate::stdio_channel::Phase;

/// What `GET /healthz` says.
pub(super) fn reply(phase: &Phase, is_shutting_down: bool) -> Reply {
    let (status, state) = match phase {
        _ if is_shutting_down => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "stopping"})),
        Phase::Ready(ready) => {
            let version = ready.handshake.as_ref().map(|handshake| handshake.version.as_str());
            (StatusCode::OK, json!({"status": "ready", "protocolVersion": version}))
        }
        Phase::Starting(None) => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "starting"})),
        Phase::Starting(Some(failure)) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "restarting", "failure": without_detail(failure)}),
        ),
        Phase::Down(failure) => (
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "failed", "failure": without_detail(failure)}),
        ),
    };
    reply::json(status, [Bytes::from(state.to_string())])
}

/// Without log lines: this is asked without a token.
fn without_detail(failure: &Failure) -> Failure {
    let mut without_detail = failure.clone();
    without_detail.detail.clear();
    without_detail
}
