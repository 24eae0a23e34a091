//! One request of one caller to one gateway, past the door.

use std::sync::Arc;

use http::{Extensions, HeaderMap, Uri};
use portolan_core::{
    Action, Caller, CredentialContext, MethodUse, Naming, PromptUse, ResourceNaming, ResourceUse, ToolUse,
};

use crate::{
    exposure::ExposedTool,
    routes::{InstallRoute, PublishedGateway, ServerRoute},
    service::Inner,
};

/// Who came, where, and with what.
#[derive(Debug)]
pub(crate) struct RequestContext {
    pub(crate) gateway: Arc<PublishedGateway>,
    pub(crate) caller: Arc<Caller>,
    pub(crate) headers: HeaderMap,
    pub(crate) uri: Uri,
    /// What the host has put on the request.
    pub(crate) extensions: Extensions,
}

impl RequestContext {
    /// The servers that the caller reaches, each with the install that serves it, sorted by name.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&ServerRoute, &InstallRoute)> {
        let mounts = self.gateway.mounts().iter();
        mounts.filter_map(|mount| Some((mount, mount.resolve(&self.caller)?)))
    }

    /// The context of a credential for a request to `mounted`.
    pub(crate) fn credential_for<'a>(
        &'a self,
        mount: &'a ServerRoute,
        mounted: &'a InstallRoute,
    ) -> CredentialContext<'a> {
        CredentialContext::new(&self.caller, &mount.server, &mounted.install).with_gateway(&self.gateway.spec.name)
    }

    /// The one server behind this gateway, if there is one, whole, and clients see it as it is.
    pub(crate) fn sole_server(&self) -> Option<(&ServerRoute, &InstallRoute)> {
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
    pub(crate) fn allows(
        &self,
        context: &RequestContext,
        mount: &ServerRoute,
        mounted: &InstallRoute,
        tool: &ExposedTool,
    ) -> bool {
        if !mount.takes(tool.tool.name()) {
            return false;
        }
        let mut used = ToolUse::new(&context.gateway.spec.name, &mount.server.name, &tool.tool);
        used.install = Some(mounted.install.name);
        self.permits(context, &Action::UseTool(&used))
    }

    /// The same for a prompt, by the name that its server has for it.
    pub(crate) fn allows_prompt(
        &self,
        context: &RequestContext,
        mount: &ServerRoute,
        mounted: &InstallRoute,
        prompt: &str,
    ) -> bool {
        let mut used = PromptUse::new(&context.gateway.spec.name, &mount.server.name, prompt);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(context, &Action::GetPrompt(&used))
    }

    /// The same for a resource, or a template of some.
    pub(crate) fn allows_resource(
        &self,
        context: &RequestContext,
        mount: &ServerRoute,
        mounted: &InstallRoute,
        uri: &str,
    ) -> bool {
        let mut used = ResourceUse::new(&context.gateway.spec.name, &mount.server.name, uri);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(context, &Action::ReadResource(&used))
    }

    /// The same for a method of an extension.
    pub(crate) fn allows_method(
        &self,
        context: &RequestContext,
        mount: &ServerRoute,
        mounted: &InstallRoute,
        method: &str,
    ) -> bool {
        let mut used = MethodUse::new(&context.gateway.spec.name, &mount.server.name, method);
        used.install = Some(mounted.install.name);
        mount.is_whole() && self.permits(context, &Action::UseMethod(&used))
    }

    fn permits(&self, context: &RequestContext, action: &Action<'_>) -> bool {
        self.policy.decide(&context.caller, action).is_allowed()
    }
}
