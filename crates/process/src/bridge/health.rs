//! `GET /healthz`, for the kubelet and for people.

use bytes::Bytes;
use http::StatusCode;
use portolan_core::Failure;
use serde_json::json;

use super::reply::{self, Reply};
use crate::channel::Phase;

/// Returns the response to `GET /healthz`.
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

/// Returns the failure without its log lines: this endpoint needs no token.
fn without_detail(failure: &Failure) -> Failure {
    let mut without_detail = failure.clone();
    without_detail.detail.clear();
    without_detail
}
