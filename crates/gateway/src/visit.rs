//! One request of one caller to one gateway, past the door.

use std::sync::Arc;

use http::HeaderMap;
use portolan_core::{Action, Caller, Decision, ToolUse};

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
}

impl Inner {
    /// Whether the caller may see and call a tool: one decision for both.
    pub(crate) fn allows(&self, visit: &Visit, mount: &Mount, mounted: &Mounted, tool: &ExposedTool) -> bool {
        if !mount.takes(tool.tool.name()) {
            return false;
        }
        let mut used = ToolUse::new(&visit.gateway.spec.name, &mount.server.name, &tool.tool);
        used.install = Some(mounted.install.name);
        self.policy.decide(&visit.caller, &Action::UseTool(&used)) == Decision::Allow
    }
}
