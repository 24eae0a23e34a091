//! What a gateway says of itself: in `initialize`, in `server/discover`.

use std::sync::Arc;

use bytes::Bytes;
use portolan_wire::{
    era::{Era, ProtocolVersion},
    meta,
    object::{self, RawObject},
};

use crate::{
    request_context::RequestContext,
    routes::ServerRoute,
    service::Inner,
    tasks,
    upstream::{ServerInfo, UpstreamServer},
};

/// Extensions of the protocol of which every part is relayed where nothing is renamed: their methods go to the one server,
/// and `_meta` and `ui://` resources pass untouched.
const EXTENSIONS: [&str; 2] = ["io.modelcontextprotocol/ui", "io.modelcontextprotocol/skills"];

/// What servers have between them.
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

    /// What callers get of a server.
    fn of(mount: &ServerRoute, info: Option<&ServerInfo>) -> Self {
        match info {
            _ if !mount.is_whole() => Self {
                tools: true,
                logging: true,
                ..Self::default()
            },
            // It may turn out to have anything.
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

impl Inner {
    /// What this caller's servers have between them; everything, as long as one of them has not said what it has.
    pub(crate) fn capabilities(&self, context: &RequestContext, era: Era) -> Bytes {
        let offers = context
            .places()
            .map(|(mount, mounted)| OfferedCapabilities::of(mount, mounted.upstream.info().as_deref()));
        // Also where there is no server yet: gateways change.
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

    /// The same for a legacy client of this version. A server that has not said yet what it has is not taken for one with
    /// tasks: a client may rely on them.
    pub(crate) fn legacy_capabilities(&self, context: &RequestContext, version: ProtocolVersion) -> Bytes {
        let capabilities = self.capabilities(context, Era::Legacy);
        if version < ProtocolVersion::V2025_11_25 {
            return capabilities;
        }
        match (tasks::capability(context), RawObject::parse_checked(&capabilities)) {
            (Some(tasks), Ok(mut with)) => {
                with.set("tasks", tasks);
                with.to_bytes()
            }
            _ => capabilities,
        }
    }

    /// What clients are told about using this gateway: what its spec says, else what its one server says.
    pub(crate) fn instructions(&self, context: &RequestContext) -> Option<Bytes> {
        if let Some(own) = &context.gateway.spec.instructions {
            return Some(object::quote(own));
        }
        let mut places = context.places();
        let (mount, mounted) = places.next()?;
        if places.next().is_some() || !mount.is_whole() {
            return None;
        }
        mounted.upstream.info()?.instructions.as_deref().map(object::quote)
    }

    /// Who answers.
    pub(crate) fn server_info(&self) -> Bytes {
        let mut info = RawObject::new();
        info.set("name", object::quote(&self.config.name));
        info.set("version", object::quote(env!("CARGO_PKG_VERSION")));
        info.to_bytes()
    }
}

/// The extensions of the one server, with its settings. An app calls tools by the names that its server has for them, so
/// where names are changed there are none.
fn extensions(context: &RequestContext, era: Era) -> RawObject {
    let mut relayed = RawObject::new();
    let offered = context
        .sole_server()
        .and_then(|(_, mounted)| mounted.upstream.info())
        .and_then(|info| RawObject::parse(info.capabilities.get("extensions")?).ok());
    for name in EXTENSIONS {
        if let Some(settings) = offered.as_ref().and_then(|offered| offered.get(name)) {
            relayed.set(name, settings.clone());
        }
    }
    // Tasks are relayed to modern clients, whatever names are changed.
    let has_tasks = |info: Option<Arc<ServerInfo>>| {
        let extensions = info.and_then(|info| RawObject::parse(info.capabilities.get("extensions")?).ok());
        extensions.is_some_and(|extensions| extensions.contains(meta::TASKS_EXTENSION))
    };
    // Those of a legacy server are made ones of the extension.
    let is_mapped = |link: &UpstreamServer| link.finds_tasks() && tasks::is_offered(link.info().as_deref());
    let offers = |link: &UpstreamServer| has_tasks(link.info()) || is_mapped(link);
    if era == Era::Modern && context.places().any(|(_, mounted)| offers(&mounted.upstream)) {
        relayed.set(meta::TASKS_EXTENSION, Bytes::from_static(b"{}"));
    }
    relayed
}
