//! The capabilities and instructions of a gateway, in `initialize` and `server/discover`.

use bytes::Bytes;
use portolan_client::ServerInfo;
use portolan_wire::{
    era::{Era, ProtocolVersion},
    meta,
    object::{self, RawObject},
};

use super::Protocol;
use crate::{
    routing::{RequestContext, ServerRoute},
    tasks::CAPABILITY,
};

/// Extensions that can be relayed completely if nothing is renamed: their methods go to the one server, and `_meta`
/// and `ui://` resources are relayed unchanged.
const EXTENSIONS: [&str; 2] = ["io.modelcontextprotocol/ui", "io.modelcontextprotocol/skills"];

/// The longest settings of a legacy client's extensions that are kept, in bytes: they are a part of its session id.
const MAX_SETTINGS: usize = 1024;

/// Returns the extensions of a client that servers are told of: those that can be relayed, with the client's settings.
pub(super) fn relayed_extensions(capabilities: &Bytes) -> Option<Bytes> {
    let declared = RawObject::parse_checked(capabilities).ok()?;
    let declared = RawObject::parse_checked(declared.get("extensions")?).ok()?;
    let mut relayed = RawObject::new();
    for name in EXTENSIONS {
        if let Some(settings) = declared.get(name).filter(|raw| raw.starts_with(b"{")) {
            relayed.set(name, settings.clone());
        }
    }
    let relayed = relayed.to_bytes();
    (relayed.len() > 2 && relayed.len() <= MAX_SETTINGS).then_some(relayed)
}

/// The combined capabilities of servers.
#[derive(Clone, Copy, Debug, Default)]
struct OfferedCapabilities {
    tools: bool,
    prompts: bool,
    resources: bool,
    subscribe: bool,
    logging: bool,
    completions: bool,
}

impl OfferedCapabilities {
    const EVERYTHING: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
        subscribe: true,
        logging: true,
        completions: true,
    };

    /// Returns the capabilities that callers get of a server.
    fn of(route: &ServerRoute, info: Option<&ServerInfo>) -> Self {
        match info {
            _ if !route.is_whole() => Self {
                tools: true,
                logging: true,
                ..Self::default()
            },
            // An unknown server may have any capability.
            None => Self::EVERYTHING,
            Some(info) => Self {
                tools: info.offers("tools"),
                prompts: info.offers("prompts"),
                resources: info.offers("resources"),
                subscribe: info.has("resources", "subscribe"),
                logging: info.offers("logging"),
                completions: info.offers("completions"),
            },
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
            subscribe: self.subscribe || other.subscribe,
            logging: self.logging || other.logging,
            completions: self.completions || other.completions,
        }
    }

    fn write(self, capabilities: &mut RawObject) {
        let changing = Bytes::from_static(br#"{"listChanged":true}"#);
        let empty = Bytes::from_static(b"{}");
        if self.tools {
            capabilities.set("tools", changing.clone());
        }
        if self.prompts {
            capabilities.set("prompts", changing.clone());
        }
        if self.resources {
            let watched = Bytes::from_static(br#"{"subscribe":true,"listChanged":true}"#);
            capabilities.set("resources", if self.subscribe { watched } else { changing });
        }
        if self.logging {
            capabilities.set("logging", empty.clone());
        }
        if self.completions {
            capabilities.set("completions", empty);
        }
    }
}

impl Protocol {
    /// Returns the combined capabilities of this caller's servers; all capabilities while one of them is unknown.
    pub(super) fn capabilities(&self, context: &RequestContext, era: Era) -> Bytes {
        let offers = context
            .places()
            .map(|(route, install)| OfferedCapabilities::of(route, route.upstream(install).info().as_deref()));
        // Declared even without a server: gateways change.
        let tools = OfferedCapabilities {
            tools: true,
            ..OfferedCapabilities::default()
        };
        let mut capabilities = RawObject::new();
        offers.fold(tools, OfferedCapabilities::or).write(&mut capabilities);
        let extensions = extensions(context, era);
        if !extensions.is_empty() {
            capabilities.set("extensions", extensions.to_bytes());
        }
        capabilities.to_bytes()
    }

    /// Returns the capabilities for a legacy client of this version. Tasks are always declared if the gateway can
    /// relay them: a session keeps the result of `initialize`, and a server may start later.
    pub(super) fn legacy_capabilities(&self, context: &RequestContext, version: ProtocolVersion) -> Bytes {
        let capabilities = self.capabilities(context, Era::Legacy);
        if version < ProtocolVersion::V2025_11_25 {
            return capabilities;
        }
        match RawObject::parse_checked(&capabilities) {
            Ok(mut with) => {
                with.set("tasks", Bytes::from_static(CAPABILITY));
                with.to_bytes()
            }
            Err(_) => capabilities,
        }
    }

    /// Returns the instructions of the gateway's spec, otherwise those of its only server.
    pub(super) fn instructions(&self, context: &RequestContext) -> Option<Bytes> {
        if let Some(own) = &context.gateway.spec.instructions {
            return Some(object::quote(own));
        }
        let mut places = context.places();
        let (route, install) = places.next()?;
        if places.next().is_some() || !route.is_whole() {
            return None;
        }
        route
            .upstream(install)
            .info()?
            .instructions
            .as_deref()
            .map(object::quote)
    }
}

/// Returns the extensions of the only server, with its settings. None if names are changed: an app calls tools by the
/// server's own names.
fn extensions(context: &RequestContext, era: Era) -> RawObject {
    let mut relayed = RawObject::new();
    let offered = context
        .sole_server()
        .and_then(|(route, install)| route.upstream(install).info())
        .and_then(|info| RawObject::parse(info.capabilities.get("extensions")?).ok());
    for name in EXTENSIONS {
        if let Some(settings) = offered.as_ref().and_then(|offered| offered.get(name)) {
            relayed.set(name, settings.clone());
        }
    }
    // The gateway relays tasks to modern clients, and converts those of legacy servers, whichever servers are up.
    if era == Era::Modern {
        relayed.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    }
    relayed
}
