//! Access: one policy decision for lists and for calls.

use std::sync::Arc;

use portolan_core::{Action, Decision, MethodUse, OmittedDefinition, Policy, PromptUse, ResourceUse, Tool, ToolUse};
use serde_json::value::RawValue;

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

    /// Returns whether the caller may know that a definition was left out: as for the item itself.
    pub(crate) fn may_know(&self, context: &RequestContext, place: Place<'_>, omitted: &OmittedDefinition) -> bool {
        let (route, install) = place;
        let decision = match &*omitted.list {
            "tools" => {
                let named = serde_json::json!({ "name": omitted.name }).to_string();
                let tool = RawValue::from_string(named)
                    .ok()
                    .and_then(|tool| Tool::parse(tool).ok());
                let Some(tool) = tool else { return route.is_whole() };
                let mut used = ToolUse::new(&context.gateway.spec.name, &route.server.name, &tool);
                used.install = Some(install.name);
                let decide = || self.decide(context, &Action::UseTool(&used));
                route.takes(tool.name()).then(decide)
            }
            "prompts" => self.prompt(context, place, &omitted.name),
            _ => self.resource(context, place, &omitted.name),
        };
        decision.is_some_and(|decision| decision.is_visible())
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
