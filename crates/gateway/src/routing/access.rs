//! What a caller may see and use: one decision for lists and for calls.

use std::sync::Arc;

use portolan_core::{Action, Decision, MethodUse, Policy, PromptUse, ResourceUse, ToolUse};

use super::{ExposedTool, Place, RequestContext};

/// Asks the policy about what is part of a gateway. `None` stands for what its assignments leave out.
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
    pub(crate) fn tool(&self, context: &RequestContext, place: Place<'_>, tool: &ExposedTool) -> Option<Decision> {
        let (route, install) = place;
        if !route.takes(tool.tool.name()) {
            return None;
        }
        let mut used = ToolUse::new(&context.gateway.spec.name, &route.server.name, &tool.tool);
        used.install = Some(install.install.name);
        Some(self.decide(context, &Action::UseTool(&used)))
    }

    /// Whether the caller may see and get a prompt, by the name that its server has for it.
    pub(crate) fn prompt(&self, context: &RequestContext, place: Place<'_>, prompt: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = PromptUse::new(&context.gateway.spec.name, &route.server.name, prompt);
        used.install = Some(install.install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::GetPrompt(&used)))
    }

    /// Whether the caller may see and read a resource, or see a template of resources.
    pub(crate) fn resource(&self, context: &RequestContext, place: Place<'_>, uri: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = ResourceUse::new(&context.gateway.spec.name, &route.server.name, uri);
        used.install = Some(install.install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::ReadResource(&used)))
    }

    /// Whether the caller may use a method of an extension.
    pub(crate) fn method(&self, context: &RequestContext, place: Place<'_>, method: &str) -> Option<Decision> {
        let (route, install) = place;
        let mut used = MethodUse::new(&context.gateway.spec.name, &route.server.name, method);
        used.install = Some(install.install.name);
        route
            .is_whole()
            .then(|| self.decide(context, &Action::UseMethod(&used)))
    }

    fn decide(&self, context: &RequestContext, action: &Action<'_>) -> Decision {
        self.policy.decide(&context.caller, action)
    }
}
