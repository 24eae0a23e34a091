//! One request of one caller to one gateway, past the door.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Uri};
use portolan_core::{Action, Caller, Decision, MethodUse, Naming, PromptUse, ResourceNaming, ResourceUse, ToolUse};

use crate::{
    exposure::ExposedTool,
    service::Inner,
    table::{Mount, Mounted, Published},
};

/// Who came, where, and with what.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) gateway: Arc<Published>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// What the host has put on the request.
    pub(crate) extensions: Extensions,
}

impl Visit {
    /// The servers that the caller reaches, each with the install that serves it, sorted by name.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Mount, &Mounted)> {
        let mounts = self.gateway.mounts().iter();
        mounts.filter_map(|mount| Some((mount, mount.resolve(&self.caller)?)))
    }

    /// The one server behind this gateway, if there is one, whole, and clients see it as it is.
    pub(crate) fn sole_server(&self) -> Option<(&Mount, &Mounted)> {
        let mut places = self.places();
        let sole = places.next().filter(|(mount, _)| mount.is_whole())?;
        let spec = &self.gateway.spec;
        let as_it_is = spec.naming == Naming::Plain
            && spec.resource_naming == ResourceNaming::Plain
            && self.gateway.aliases.is_none();
        (places.next().is_none() && as_it_is).then_some(sole)
    }
}

impl Inner {
    /// Whether the caller may see and call a tool: one decision for both.
    pub(crate) fn allows(&self, visit: &Visit, mount: &Mount, mounted: &Mounted, tool: &ExposedTool) -> bool {
        if !mount.takes(tool.tool.name()) {
            return false;
        }
        let mut used = ToolUse::new(&visit.gateway.spec.name, &mount.server.name, &tool.tool);
        used.install = Some(mounted.install.name);
        self.permits(visit, &Action::UseTool(&used))
    }

    /// The same for a prompt, by the name that its server has for it.
    pub(crate) fn allows_prompt(&self, visit: &Visit, mount: &Mount, mounted: &Mounted, prompt: &str) -> bool {
        let mut used = PromptUse::new(&visit.gateway.spec.name, &mount.server.name, prompt);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(visit, &Action::GetPrompt(&used))
    }

    /// The same for a resource, or a template of some.
    pub(crate) fn allows_resource(&self, visit: &Visit, mount: &Mount, mounted: &Mounted, uri: &str) -> bool {
        let mut used = ResourceUse::new(&visit.gateway.spec.name, &mount.server.name, uri);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(visit, &Action::ReadResource(&used))
    }

    /// The same for a method of an extension.
    pub(crate) fn allows_method(&self, visit: &Visit, mount: &Mount, mounted: &Mounted, method: &str) -> bool {
        let mut used = MethodUse::new(&visit.gateway.spec.name, &mount.server.name, method);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(visit, &Action::UseMethod(&used))
    }

    fn permits(&self, visit: &Visit, action: &Action<'_>) -> bool {
        self.policy.decide(&visit.caller, action) == Decision::Allow
    }
}
