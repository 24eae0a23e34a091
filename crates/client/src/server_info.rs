//! The information that a server gives about itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use portolan_core::ServerHandshake;
use portolan_wire::{
    era::{Era, ProtocolVersion},
    meta,
    object::{self, RawObject},
};

/// The information that a server gave about itself, in its `initialize` or `server/discover` result.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The `capabilities`.
    pub capabilities: RawObject,
    /// The `instructions`, if the server gave any.
    pub instructions: Option<Box<str>>,
    /// The name in `serverInfo`. Modern servers may leave it out. For display and logs only.
    pub name: Option<Box<str>>,
    /// The version in `serverInfo`, likewise.
    pub version: Option<Box<str>>,
    /// The protocol version of the result: the negotiated one of a legacy server, `2026-07-28` for a modern one.
    pub protocol_version: Box<str>,
}

/// The information about one server; empty until the server has been asked for it.
#[derive(Debug, Default)]
pub(crate) struct ServerInfoCell(ArcSwapOption<ServerInfo>);

impl ServerInfo {
    /// Returns `true` if the server has a capability, such as `prompts`.
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(|raw| raw != "null")
    }

    /// Returns `true` if a capability has a flag, such as `subscribe` of `resources`.
    pub fn has(&self, capability: &str, flag: &str) -> bool {
        let members = self
            .capabilities
            .get(capability)
            .and_then(|raw| RawObject::parse(raw).ok());
        members.is_some_and(|members| members.get(flag).is_some_and(|raw| raw == "true"))
    }

    /// Returns the protocol era in which the server gave this information.
    pub fn era(&self) -> Era {
        ProtocolVersion::parse(&self.protocol_version).map_or(Era::Legacy, |version| version.era())
    }

    fn with_server_info(mut self, raw: Option<&Bytes>) -> Self {
        if let Some(members) = raw.and_then(|raw| RawObject::parse(raw).ok()) {
            self.name = text(&members, "name");
            self.version = text(&members, "version");
        }
        self
    }
}

impl ServerInfoCell {
    pub(crate) fn get(&self) -> Option<Arc<ServerInfo>> {
        self.0.load_full()
    }

    /// Reads the result of `initialize` or `server/discover`.
    pub(crate) fn learn(&self, result: &Bytes) {
        let Ok(result) = RawObject::parse(result) else { return };
        let capabilities = result
            .get("capabilities")
            .and_then(|raw| RawObject::parse(&detached(raw)).ok());
        // Only legacy results have a `protocolVersion`; modern ones have `serverInfo` in `_meta`.
        let negotiated = text(&result, "protocolVersion");
        let in_meta = || {
            RawObject::parse(result.get(meta::META)?)
                .ok()?
                .get(meta::SERVER_INFO)
                .cloned()
        };
        let server_info = result.get("serverInfo").cloned().or_else(in_meta);
        let info = ServerInfo {
            capabilities: capabilities.unwrap_or_default(),
            instructions: text(&result, "instructions"),
            protocol_version: negotiated.unwrap_or_else(|| ProtocolVersion::NEWEST.as_str().into()),
            ..ServerInfo::default()
        };
        self.keep(info.with_server_info(server_info.as_ref()));
    }

    /// Takes the information that the owner of a stdio server has of it.
    pub(crate) fn learn_handshake(&self, handshake: &ServerHandshake) {
        let info = ServerInfo {
            capabilities: RawObject::parse(&handshake.capabilities).unwrap_or_default(),
            instructions: handshake.instructions.as_deref().map(Into::into),
            protocol_version: handshake.version.as_str().into(),
            ..ServerInfo::default()
        };
        self.keep(info.with_server_info(handshake.server_info.as_ref()));
    }

    fn keep(&self, info: ServerInfo) {
        self.0.store(Some(Arc::new(info)));
    }
}

fn text(members: &RawObject, key: &str) -> Option<Box<str>> {
    members.get(key).and_then(object::text).map(|text| (*text).into())
}

/// Returns a copy, so that the message which it was a part of is freed.
fn detached(raw: &Bytes) -> Bytes {
    Bytes::copy_from_slice(raw)
}
