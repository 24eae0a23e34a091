//! What a caller may see and use: one decision for lists and for calls.

use std::sync::Arc;

use portolan_core::{Action, Decision, MethodUse, Policy, PromptUse, ResourceUse, ToolUse};

use super::{ExposedTool, RequestContext, resolver::Place};

/// Asks the policy, within what a gateway's assignment takes in.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    policy: Arc<dyn Policy>,
}

impl Access {
    pub(crate) fn new(policy: Arc<dyn Policy>) -> Self {
        Self { policy }
    }

    /// Whether two callers may see different things.
    pub(crate) fn depends_on_caller(&self) -> bool {
        self.policy.depends_on_caller()
    }

    /// Whether the caller may see and call a tool.
    pub(crate) fn allows_tool(&self, context: &RequestContext, (route, install): Place<'_>, tool: &ExposedTool) -> bool {
        if !route.takes(tool.tool.name()) {
            return false;
        }
        let mut used = ToolUse::new(&context.gateway.spec.name, &route.server.name, &tool.tool);
        used.install = Some(install.install.name);
        self.permits(context, &Action::UseTool(&used))
    }

    /// Whether the caller may see and get a prompt, by the name that its server has for it.
    pub(crate) fn allows_prompt(&self, context: &RequestContext, (route, install): Place<'_>, prompt: &str) -> bool {
        let mut used = PromptUse::new(&context.gateway.spec.name, &route.server.name, prompt);
        used.install = Some(install.install.name);
        route.is_whole() && self.permits(context, &Action::GetPrompt(&used))
    }

    /// Whether the caller may see and read a resource, or a template of resources.
    pub(crate) fn allows_resource(&self, context: &RequestContext, (route, install): Place<'_>, uri: &str) -> bool {
        let mut used = ResourceUse::new(&context.gateway.spec.name, &route.server.name, uri);
        used.install = Some(install.install.name);
        route.is_whole() && self.permits(context, &Action::ReadResource(&used))
    }

    /// Whether the caller may use a method of an extension.
    pub(crate) fn allows_method(&self, context: &RequestContext, (route, install): Place<'_>, method: &str) -> bool {
        let mut used = MethodUse::new(&context.gateway.spec.name, &route.server.name, method);
        used.install = Some(install.install.name);
        route.is_whole() && self.permits(context, &Action::UseMethod(&used))
    }

    fn permits(&self, context: &RequestContext, action: &Action<'_>) -> bool {
        self.policy.decide(&context.caller, action) == Decision::Allow
    }
}
