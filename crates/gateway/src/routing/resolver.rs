//! Resolves the server of a request by the tool, prompt, resource or template that it names.

use std::{borrow::Cow, sync::Arc, time::Duration};

use portolan_client::{ListSnapshot, Listing, Prompts, Tools};
use portolan_core::{
    CredentialBroker, CredentialContext, Decision, Install, Policy, ResourceNaming, Result, ServerName,
    UpstreamCredential,
};
use portolan_wire::{
    era::Era,
    error::ErrorObject,
    method::Method,
    object::{self, RawObject},
};

use crate::events;

use super::{
    Access,
    exposure::{ExposedPrompt, ExposedTool, NameIndex, Named, exposed_prompts, exposed_tools},
    request_context::RequestContext,
    routes::{NameLookup, ServerRoute},
    target::{Denial, Place, Target, TargetError},
};

/// The minimum age of a list before an unknown name causes it to be fetched again.
const MIN_REFETCH_AGE: Duration = Duration::from_secs(5);
/// How long calls of other servers ignore a server whose list could not be fetched.
const FAILURE_AGE: Duration = Duration::from_secs(2);

/// Resolves the servers of requests, and their credentials.
#[derive(Debug)]
pub(crate) struct Resolver {
    access: Access,
    broker: Arc<dyn CredentialBroker>,
}

/// An item that servers list, clients name, and the policy governs.
trait Exposed: Named + Sized + 'static {
    type List: Listing;

    /// Returns the index by name of a server's list.
    fn index(server: &ServerName, listed: &ListSnapshot<Self::List>) -> Arc<NameIndex<Self>>;

    /// Returns whether a server may have such items for callers of this gateway.
    fn within(route: &ServerRoute) -> bool;

    /// Returns the policy's decision; `None` if the item is not part of the gateway.
    fn decide(&self, access: &Access, context: &RequestContext, place: Place<'_>) -> Option<Decision>;
}

impl Exposed for ExposedTool {
    type List = Tools;

    fn index(server: &ServerName, listed: &ListSnapshot<Tools>) -> Arc<NameIndex<Self>> {
        exposed_tools(server, listed)
    }

    fn within(_: &ServerRoute) -> bool {
        true
    }

    fn decide(&self, access: &Access, context: &RequestContext, place: Place<'_>) -> Option<Decision> {
        access.tool(context, place, self)
    }
}

impl Exposed for ExposedPrompt {
    type List = Prompts;

    fn index(server: &ServerName, listed: &ListSnapshot<Prompts>) -> Arc<NameIndex<Self>> {
        exposed_prompts(server, listed)
    }

    fn within(route: &ServerRoute) -> bool {
        route.is_whole()
    }

    fn decide(&self, access: &Access, context: &RequestContext, place: Place<'_>) -> Option<Decision> {
        access.prompt(context, place, self.own())
    }
}

/// The result of a lookup by name.
enum Lookup<'a, T> {
    Found(Place<'a>, Arc<NameIndex<T>>, usize),
    /// The item exists, and the caller may not use it.
    Denied(Place<'a>, Box<str>, Decision),
    Missing,
}

impl Resolver {
    pub(crate) fn new(policy: Arc<dyn Policy>, broker: Arc<dyn CredentialBroker>) -> Self {
        Self {
            access: Access::new(policy),
            broker,
        }
    }

    /// Returns the access checks.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the credential for a request to a server: for a call of `tool`, or for any other request.
    pub(crate) async fn credential(
        &self,
        context: &RequestContext,
        (route, install): Place<'_>,
        tool: Option<&str>,
    ) -> Result<Arc<UpstreamCredential>> {
        let mut lookup = CredentialContext::new(&context.caller, &route.server, install);
        lookup.gateway = Some(&context.gateway.spec.name);
        lookup.tool = tool;
        lookup.headers = Some(&context.headers);
        self.broker.credential(&lookup).await
    }

    /// Drops a cached credential that the server rejected.
    pub(crate) fn forget_credential(&self, context: &RequestContext, install: &Install) {
        let caller = &context.caller;
        events::credential_refused(&context.gateway.spec.name, install, caller, context.request_id.as_str());
        self.broker.forget(install, Some(caller));
    }

    /// Resolves the target of a `tools/call`.
    pub(crate) async fn tool<'a>(
        &self,
        context: &'a RequestContext,
        params: &RawObject,
    ) -> Result<Target<'a>, TargetError> {
        let name = text(params, "name", "params.name must be the name of a tool")?;
        let lookup = context.gateway.lookup(&name);
        let found = match self.find_known::<ExposedTool>(context, &lookup).await {
            Some(found) => found,
            None => Box::pin(self.find(context, &lookup)).await?,
        };
        let unknown = || ErrorObject::unknown_tool(&name);
        match found {
            Lookup::Found(place, tools, at) => Ok(Target::of_tool(place, tools, at, &name)),
            Lookup::Denied(place, own, decision) => {
                Err(TargetError::Denied(Denial::new(place, &own, decision, unknown())))
            }
            Lookup::Missing => Err(unknown().into()),
        }
    }

    /// Resolves the target of any other request. Servers are queried for lists that are not cached.
    pub(crate) async fn target<'a>(
        &self,
        context: &'a RequestContext,
        era: Era,
        method: &Method,
        params: &RawObject,
    ) -> Result<Target<'a>, TargetError> {
        match method {
            Method::PromptsGet => {
                let name = text(params, "name", "params.name must be the name of a prompt")?;
                self.prompt(context, &name).await
            }
            Method::ResourcesRead => self.resource(context, era, params).await,
            Method::Complete => self.completion(context, params).await,
            other => self.method(context, other),
        }
    }

    async fn prompt<'a>(&self, context: &'a RequestContext, name: &str) -> Result<Target<'a>, TargetError> {
        let lookup = context.gateway.lookup(name);
        let found = match self.find_known::<ExposedPrompt>(context, &lookup).await {
            Some(Lookup::Missing) | None => self.find::<ExposedPrompt>(context, &lookup).await?,
            Some(found) => found,
        };
        let unknown = || ErrorObject::unknown_prompt(name);
        match found {
            Lookup::Found(place, prompts, at) => Ok(Target::of_prompt(place, prompts.get(at).own(), name)),
            Lookup::Denied(place, own, decision) => {
                Err(TargetError::Denied(Denial::new(place, &own, decision, unknown())))
            }
            Lookup::Missing => Err(unknown().into()),
        }
    }

    async fn resource<'a>(
        &self,
        context: &'a RequestContext,
        era: Era,
        params: &RawObject,
    ) -> Result<Target<'a>, TargetError> {
        let uri = text(params, "uri", "params.uri must be the URI of a resource")?;
        let target = match context.gateway.spec.resource_naming {
            ResourceNaming::Prefix => self.place_named(context, &uri).map(|(place, own)| {
                let quoted = object::quote(&own);
                Target::at(place, &own).renaming("uri", quoted)
            }),
            _ => Target::first_of(self.places_of(context, &uri).await, &uri),
        };
        target.ok_or_else(|| self.no_resource(context, &uri, ErrorObject::unknown_resource(&uri, era)))
    }

    /// Resolves the server of a completion: of a prompt's argument, or of a resource template's variable.
    async fn completion<'a>(&self, context: &'a RequestContext, params: &RawObject) -> Result<Target<'a>, TargetError> {
        let invalid = "params.ref must be a reference to a prompt or a resource";
        let reference = params.get("ref").and_then(|raw| RawObject::parse_checked(raw).ok());
        let mut reference = reference.ok_or_else(|| ErrorObject::invalid_params(invalid))?;
        match &*text(&reference, "type", invalid)? {
            "ref/prompt" => {
                let name = text(&reference, "name", invalid)?;
                let mut target = self.prompt(context, &name).await?;
                if let Some((_, own)) = target.rename.take() {
                    reference.set("name", own);
                    target.rename = Some(("ref", reference.to_bytes()));
                }
                Ok(target)
            }
            "ref/resource" => {
                let uri = text(&reference, "uri", invalid)?.into_owned();
                let target = match context.gateway.spec.resource_naming {
                    ResourceNaming::Prefix => self.place_named(context, &uri).map(|(place, own)| {
                        reference.set("uri", object::quote(&own));
                        Target::at(place, &own).renaming("ref", reference.to_bytes())
                    }),
                    _ => self.owner_of(context, &uri).await.map(|place| Target::at(place, &uri)),
                };
                let unknown = || ErrorObject::invalid_params(format!("no server has the resource {uri}"));
                target.ok_or_else(|| self.no_resource(context, &uri, unknown()))
            }
            _ => Err(ErrorObject::invalid_params(invalid).into()),
        }
    }

    /// Resolves the only server of a gateway, for a method of an extension: such a method names nothing that
    /// distinguishes servers.
    fn method<'a>(&self, context: &'a RequestContext, method: &Method) -> Result<Target<'a>, TargetError> {
        let unknown = || ErrorObject::method_not_found(method.as_str());
        // The task methods of 2025-11-25 do not belong to the extension.
        if method.is_removed() {
            return Err(unknown().into());
        }
        let place = context.sole_server().ok_or_else(unknown)?;
        match self.access.method(context, place, method.as_str()) {
            Some(decision) if decision.is_allowed() => Ok(Target::at(place, method.as_str())),
            Some(decision) => Err(TargetError::Denied(Denial::new(
                place,
                method.as_str(),
                decision,
                unknown(),
            ))),
            None => Err(unknown().into()),
        }
    }

    /// Looks a name up in the cached lists; `None` if they do not decide it.
    async fn find_known<'a, T: Exposed>(
        &self,
        context: &'a RequestContext,
        lookup: &NameLookup<'a, '_>,
    ) -> Option<Lookup<'a, T>> {
        for route in lookup.routes.iter().filter(|route| T::within(route)) {
            let Some(install) = route.install_for(&context.caller) else {
                continue;
            };
            let credential = self.credential(context, (route, install), None).await.ok()?;
            // Of two servers with the same name the first one counts, so its list is needed before the second one's.
            let listed = match route.upstream(install).known::<T::List>(&credential) {
                Some(listed) => listed,
                // Lists omit such a server; calls of the others do not wait for it.
                None if route
                    .upstream(install)
                    .failed_within::<T::List>(&credential, FAILURE_AGE) =>
                {
                    continue;
                }
                None => return None,
            };
            let index = T::index(&route.server.name, &listed);
            if let found @ Lookup::Found(..) = self.look_up(context, (route, install), index, lookup) {
                return Some(found);
            }
        }
        None
    }

    /// Looks a name up after fetching the lists again.
    async fn find<'a, T: Exposed>(
        &self,
        context: &'a RequestContext,
        lookup: &NameLookup<'a, '_>,
    ) -> Result<Lookup<'a, T>> {
        let mut failure = None;
        let mut denied = Lookup::Missing;
        for route in lookup.routes.iter().filter(|route| T::within(route)) {
            let Some(install) = route.install_for(&context.caller) else {
                continue;
            };
            let place: Place<'_> = (route, install);
            match self.list_within::<T::List>(context, place, MIN_REFETCH_AGE).await {
                Ok(listed) => {
                    let index = T::index(&route.server.name, &listed);
                    match self.look_up(context, place, index, lookup) {
                        Lookup::Missing => {}
                        found @ Lookup::Found(..) => return Ok(found),
                        one @ Lookup::Denied(..) => denied = one,
                    }
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // A name that an unreachable server may have is not reported as unknown.
        failure.map_or(Ok(denied), Err)
    }

    fn look_up<'a, T: Exposed>(
        &self,
        context: &'a RequestContext,
        place: Place<'a>,
        index: Arc<NameIndex<T>>,
        lookup: &NameLookup<'_, '_>,
    ) -> Lookup<'a, T> {
        let Some(at) = index.position(lookup.naming, lookup.name) else {
            return Lookup::Missing;
        };
        let item = index.get(at);
        let has_alias = |own| {
            lookup
                .aliases
                .and_then(|aliases| aliases.name_of(&place.0.server.name, own))
        };
        if has_alias(item.own()).is_some() {
            return Lookup::Missing;
        }
        match item.decide(&self.access, context, place) {
            Some(decision) if decision.is_allowed() => Lookup::Found(place, index, at),
            Some(decision) => Lookup::Denied(place, item.own().into(), decision),
            None => Lookup::Missing,
        }
    }

    async fn list_within<L: Listing>(
        &self,
        context: &RequestContext,
        place: Place<'_>,
        age: Duration,
    ) -> Result<Arc<ListSnapshot<L>>> {
        let credential = self.credential(context, place, None).await?;
        place.0.upstream(place.1).list_within::<L>(&credential, age).await
    }
}

fn text<'a>(params: &'a RawObject, member: &str, problem: &'static str) -> Result<Cow<'a, str>, ErrorObject> {
    let text = params.get(member).and_then(object::text);
    text.ok_or_else(|| ErrorObject::invalid_params(problem))
}

impl From<Box<Denial>> for TargetError {
    fn from(denial: Box<Denial>) -> Self {
        Self::Denied(denial)
    }
}
