//! A legacy server: sessions of many clients over one handshake.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use portolan_core::{RpcResponse, ServerHandshake, ServerRequestPolicy};
use portolan_wire::{
    envelope::{Message, Notification, Outcome, Request},
    era::{ClientEra, EraError, ProtocolVersion, detect_client},
    error::ErrorObject,
    header::{SESSION_ID, single},
    method::Method,
    object::{self, RawObject, quote},
};

use super::{
    call::detached,
    relay::Relay,
    reply::{self, Reply},
    service::Bridge,
    session::Session,
};

/// The versions that clients of a legacy endpoint can request.
const SERVED_VERSIONS: [ProtocolVersion; 3] = [
    ProtocolVersion::V2025_11_25,
    ProtocolVersion::V2025_06_18,
    ProtocolVersion::V2025_03_26,
];

/// Handles a POST.
pub(super) async fn post(bridge: &Bridge, headers: &HeaderMap, message: Message, handshake: &ServerHandshake) -> Reply {
    let session = session(bridge, headers);
    let era = detect_client(headers, &message, &SERVED_VERSIONS);
    if let (Ok(ClientEra::Initialize { requested }), Message::Request(request)) = (&era, &message) {
        return initialize(bridge, request, requested.as_str(), handshake);
    }
    match (&era, &session) {
        // A server may speak an older version than all known ones.
        (Err(EraError::Version { requested, .. }), Ok(session)) if **requested == *session.version => {}
        (Err(fault), _) => return reply::error(fault.status(), message.id(), &fault.object()),
        (Ok(_), _) => {}
    }
    let session = match session {
        Ok(session) => session,
        Err(status) => {
            let problem = match status {
                StatusCode::NOT_FOUND => "the session has ended",
                _ => "the session id is missing",
            };
            return reply::error(status, message.id(), &ErrorObject::invalid_request(problem));
        }
    };
    match message {
        Message::Request(request) => self::request(bridge, &session, request).await,
        Message::Notification(notification) => {
            self::notification(&session, &notification);
            reply::empty(StatusCode::ACCEPTED)
        }
        Message::Response(response) => {
            let answer = match response.outcome {
                Outcome::Result(raw) => RpcResponse::Result(raw),
                Outcome::Error(raw) => RpcResponse::Error(raw),
            };
            if let Some(id) = &response.id {
                session.answer(id, answer);
            }
            reply::empty(StatusCode::ACCEPTED)
        }
    }
}

/// Handles a DELETE: ends a session.
pub(super) fn delete(bridge: &Bridge, headers: &HeaderMap) -> Reply {
    match session(bridge, headers) {
        Ok(session) => {
            let left = bridge.sessions.close(&session.id).unwrap_or_default();
            bridge.unsubscribe(left);
            reply::empty(StatusCode::NO_CONTENT)
        }
        Err(status) => reply::empty(status),
    }
}

/// Returns the session that a request names, or the status that refuses it.
pub(super) fn session(bridge: &Bridge, headers: &HeaderMap) -> Result<Arc<Session>, StatusCode> {
    let id = single(headers, &SESSION_ID).map_err(|_| StatusCode::BAD_REQUEST)?;
    let id = id.ok_or(StatusCode::BAD_REQUEST)?;
    let session = id.to_str().ok().and_then(|id| bridge.sessions.find(id));
    session.ok_or(StatusCode::NOT_FOUND)
}

/// Opens a session, with the result of the server's handshake.
fn initialize(bridge: &Bridge, request: &Request, requested: &str, handshake: &ServerHandshake) -> Reply {
    // Versions are dates. A client that requests an older one than the server's gets that.
    let version = match ProtocolVersion::parse(requested) {
        Some(known) if SERVED_VERSIONS.contains(&known) && requested < handshake.version.as_str() => requested,
        _ => &handshake.version,
    };
    let Some(session) = bridge
        .sessions
        .open(version.to_owned(), capabilities_policy(request.params.as_ref()))
    else {
        let object = ErrorObject::internal("there are too many sessions");
        return reply::error(StatusCode::SERVICE_UNAVAILABLE, Some(&request.id), &object);
    };
    let result = RpcResponse::Result(initialize_result(version, handshake));
    let mut reply = reply::json(StatusCode::OK, reply::answer(&request.id, result));
    if let Ok(id) = HeaderValue::from_str(&session.id) {
        reply.headers_mut().insert(SESSION_ID, id);
    }
    reply
}

fn initialize_result(version: &str, handshake: &ServerHandshake) -> Bytes {
    let mut result = RawObject::new();
    result.set("protocolVersion", quote(version));
    result.set("capabilities", handshake.capabilities.clone());
    let nameless = || Bytes::from_static(br#"{"name":"server","version":"0"}"#);
    result.set("serverInfo", handshake.server_info.clone().unwrap_or_else(nameless));
    if let Some(instructions) = &handshake.instructions {
        result.set("instructions", quote(instructions));
    }
    result.to_bytes()
}

/// Returns the server requests that a client declares to accept.
fn capabilities_policy(params: Option<&Bytes>) -> ServerRequestPolicy {
    let capabilities = params
        .and_then(|params| RawObject::parse(params).ok())
        .and_then(|params| RawObject::parse(params.get("capabilities")?).ok())
        .unwrap_or_default();
    let mut capabilities_policy = ServerRequestPolicy::ALL;
    capabilities_policy.elicitation = capabilities.contains("elicitation");
    capabilities_policy.sampling = capabilities.contains("sampling");
    capabilities_policy.roots = capabilities.contains("roots");
    capabilities_policy
}

async fn request(bridge: &Bridge, session: &Arc<Session>, request: Request) -> Reply {
    let id = detached(&request.id);
    let done = |id| {
        reply::json(
            StatusCode::OK,
            reply::answer(id, RpcResponse::Result(Bytes::from_static(b"{}"))),
        )
    };
    if session.is_calling(&id) {
        let object = ErrorObject::invalid_request("the id is that of another request under way");
        return reply::error(StatusCode::BAD_REQUEST, Some(&id), &object);
    }
    match &request.method {
        Method::Ping => return done(&id),
        Method::ResourcesSubscribe if !uri(&request).is_none_or(|uri| session.subscribe(uri)) => {
            let object = ErrorObject::internal("there are too many subscriptions in this session");
            return reply::error(StatusCode::OK, Some(&id), &object);
        }
        Method::ResourcesUnsubscribe => {
            let uri = uri(&request).unwrap_or_default();
            session.unsubscribe(&uri);
            if bridge.sessions.any_subscribes(&uri) {
                return done(&id);
            }
        }
        Method::SetLevel => bridge.set_log_level(request.params.clone()),
        _ => {}
    }
    let requester_key = Some(session.id.clone());
    let dispatched = match bridge
        .send(request.method.as_str(), request.params, requester_key)
        .await
    {
        Ok(dispatched) => dispatched,
        Err(why) => return bridge.error_reply(&id, &why),
    };
    let slot = session.slot(&id, dispatched.handle.clone());
    bridge.call(dispatched, Relay::Legacy { id, slot }).reply().await
}

fn notification(session: &Session, notification: &Notification) {
    // The bridge itself sent `initialized`, once; the roots of one client are not those of another.
    if notification.method != Method::Cancelled {
        return;
    }
    let params = notification
        .params
        .as_ref()
        .and_then(|params| RawObject::parse(params).ok());
    let call = params.and_then(|params| portolan_wire::id::RequestId::parse(params.get("requestId")?).ok());
    if let Some(call) = call {
        session.cancel(&call);
    }
}

fn uri(request: &Request) -> Option<String> {
    let params = RawObject::parse(request.params.as_ref()?).ok()?;
    params.get("uri").and_then(object::text).map(Into::into)
}
