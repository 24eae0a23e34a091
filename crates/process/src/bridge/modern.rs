//! A modern server: each request is independent.

use http::{HeaderMap, StatusCode};
use portolan_wire::{
    envelope::Message,
    era::{Era, ProtocolVersion, detect_client},
    method::Method,
};

use super::{
    call::detached,
    relay::Relay,
    reply::{self, Reply},
    service::Bridge,
};

/// Handles a POST.
pub(super) async fn post(bridge: &Bridge, headers: &HeaderMap, message: Message) -> Reply {
    let served = ProtocolVersion::ALL.map(|version| (version.era() == Era::Modern).then_some(version));
    let served: Vec<_> = served.into_iter().flatten().collect();
    if let Err(fault) = detect_client(headers, &message, &served) {
        return reply::error(fault.status(), message.id(), &fault.object());
    }
    match message {
        Message::Request(request) => {
            let relay = Relay::Modern {
                id: detached(&request.id),
                listens: request.method == Method::Listen,
            };
            match bridge.send(request.method.as_str(), request.params, None).await {
                Ok(dispatched) => bridge.call(dispatched, relay).reply().await,
                Err(why) => bridge.error_reply(&request.id, &why),
            }
        }
        // No notification of a client is for the server.
        Message::Notification(_) | Message::Response(_) => reply::empty(StatusCode::ACCEPTED),
    }
}
