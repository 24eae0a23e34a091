//! What this client says of itself in each request to a modern server, and in its handshake with a legacy one.

use bytes::Bytes;
use portolan_wire::{
    era::ProtocolVersion,
    object::{self, RawObject},
};

/// A `_meta` for a modern server: what the client sent, with the version and capabilities that the protocol demands.
pub(crate) fn modern_meta(meta: Option<&Bytes>, capabilities: Bytes, name: &str) -> Bytes {
    use portolan_wire::meta as key;
    let mut members = meta.and_then(|raw| RawObject::parse(raw).ok()).unwrap_or_default();
    members.set(key::PROTOCOL_VERSION, object::quote(ProtocolVersion::NEWEST.as_str()));
    members.set(key::CLIENT_CAPABILITIES, capabilities);
    if !members.contains(key::CLIENT_INFO) {
        members.set(key::CLIENT_INFO, client_info(name));
    }
    members.to_bytes()
}

/// Who we say we are.
pub(crate) fn client_info(name: &str) -> Bytes {
    let mut info = RawObject::new();
    info.set("name", object::quote(name));
    info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
    info.to_bytes()
}
