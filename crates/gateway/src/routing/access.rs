//! Access: one policy decision for lists and for calls.

use std::sync::Arc;

use portolan_core::{Action, Decision, MethodUse, Policy, PromptUse, ResourceUse, ToolUse};

use super::{ExposedTool, Place, RequestContext};

/// Asks the policy about items of a gateway. `None` means that the gateway's assignments do not include the item.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    policy: Arc<dyn Policy>,
}

impl Access {
    pub(crate) fn new(policy: Arc<dyn Policy>) -> Self {
        Self { policy }
    }

    /// Returns whether decisions may differ between callers.
    pub(crate) fn depends_on_caller(&self) -> bool {
        self.policy.depends_on_caller()
    }

    /// Decides whether the caller may see and call a tool.
    pub(crate) fn tool(&self, context: &RequestContext, place: Place<'_>, tool: &ExposedTool) -> Option<Decision> {
        let (route, install) = place;
        if !route.takes(tool.tool.name()) {
            return None;
        }
        let mut used = ToolUse::new(&context.gateway.spec.name, &route.server.name, &tool.tool);
        used.install = Some(install.name);
        Some(self.decide(context, &Action::UseTool(&used)))
    }

    /// Decides whether the caller may see and get a prompt, by the server's own name.
    pub(crate) fn prompt(&self, context: &RequestContext, place: Place<'_>, prompt: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = PromptUse::new(&context.gateway.spec.name, &route.server.name, prompt);
        used.install = Some(install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::GetPrompt(&used)))
    }

    /// Decides whether the caller may see and read a resource, or see a resource template.
    pub(crate) fn resource(&self, context: &RequestContext, place: Place<'_>, uri: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = ResourceUse::new(&context.gateway.spec.name, &route.server.name, uri);
        used.install = Some(install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::ReadResource(&used)))
    }

    /// Decides whether the caller may use a method of an extension.
    pub(crate) fn method(&self, context: &RequestContext, place: Place<'_>, method: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = MethodUse::new(&context.gateway.spec.name, &route.server.name, method);
        used.install = Some(install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::UseMethod(&used)))
    }

    fn decide(&self, context: &RequestContext, action: &Action<'_>) -> Decision {
        self.policy.decide(&context.caller, action)
    }
}
