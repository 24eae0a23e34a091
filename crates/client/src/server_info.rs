//! What a server says of itself when it introduces itself.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use portolan_core::ServerHandshake;
use portolan_wire::object::{self, RawObject};

/// What a server said in its `initialize` or `server/discover` result.
#[derive(Clone, Debug, Default)]
pub struct ServerInfo {
    /// Its `capabilities`.
    pub capabilities: RawObject,
    /// Its `instructions`, where it gave any.
    pub instructions: Option<Box<str>>,
}

/// What is known of one server; nothing before it has introduced itself.
#[derive(Debug, Default)]
pub(crate) struct ServerInfoCell(ArcSwapOption<ServerInfo>);

impl ServerInfo {
    /// Whether it has a capability, such as `prompts`.
    pub fn offers(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(|raw| raw != "null")
    }

    /// Whether a capability has a flag, such as `subscribe` of `resources`.
    pub fn has(&self, capability: &str, flag: &str) -> bool {
        let members = self
            .capabilities
            .get(capability)
            .and_then(|raw| RawObject::parse(raw).ok());
        members.is_some_and(|members| members.get(flag).is_some_and(|raw| raw == "true"))
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
        self.keep(ServerInfo {
            capabilities: capabilities.unwrap_or_default(),
            instructions: result
                .get("instructions")
                .and_then(object::text)
                .map(|text| (*text).into()),
        });
    }

    /// Takes over how a stdio server introduced itself to its owner.
    pub(crate) fn learn_handshake(&self, hello: &ServerHandshake) {
        self.keep(ServerInfo {
            capabilities: RawObject::parse(&hello.capabilities).unwrap_or_default(),
            instructions: hello.instructions.as_deref().map(Into::into),
        });
    }

    fn keep(&self, info: ServerInfo) {
        self.0.store(Some(Arc::new(info)));
    }
}

/// A copy, so that the message which it was a part of can go.
fn detached(raw: &Bytes) -> Bytes {
    Bytes::copy_from_slice(raw)
}
