//! Whose a call is: told by the tool, prompt or resource that it names.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use portolan_core::{Error, ResourceNaming, Result};
use portolan_wire::{
    era::Era,
    error::ErrorObject,
    method::Method,
    object::{self, RawObject},
};

use super::Call;
use crate::{
    exposure::{ByName, ExposedTool, ExposedTools, Named},
    request_context::RequestContext,
    routes::{InstallRoute, NameLookup, ServerRoute},
    service::Inner,
    tasks::{self, Support, TaskIds},
    upstream::{Listing, Prompt},
};

/// What is asked for and not on a list makes the lists be fetched again, at most this often.
const MISS_AGE: Duration = Duration::from_secs(5);
/// For how long calls of other servers do not wait for one whose list could not be had.
const FAILURE_AGE: Duration = Duration::from_secs(2);

/// A server, and the install that serves this caller.
pub(crate) type Place<'a> = (&'a ServerRoute, &'a InstallRoute);

/// Where a call goes.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) mount: &'a ServerRoute,
    pub(crate) mounted: &'a InstallRoute,
    /// A member of params that the server knows by another value.
    pub(super) rename: Option<(&'static str, Bytes)>,
    /// Who is asked after it, if it says that it does not have what is wanted.
    pub(super) others: Vec<Place<'a>>,
    /// The task that is asked for.
    pub(super) task: Option<Arc<TaskIds>>,
    what: What,
}

#[derive(Debug)]
enum What {
    Tool(Arc<ExposedTools>, usize),
    /// The name of a prompt, a URI, or a method.
    Named(Box<str>),
}

/// Why a call goes nowhere.
#[derive(Debug)]
pub(super) enum TargetError {
    /// There is nothing of this name, or nothing that the caller may use.
    Unknown(ErrorObject),
    /// The server that may have it cannot be asked.
    Unreachable(Error),
}

impl From<Error> for TargetError {
    fn from(error: Error) -> Self {
        Self::Unreachable(error)
    }
}

/// What is named, and governed by the policy.
trait AccessControlled: Named + Sized {
    /// Whether a server may have any for callers of this gateway.
    fn within(mount: &ServerRoute) -> bool;

    /// Whether the caller may use it.
    fn allowed(&self, inner: &Inner, context: &RequestContext, place: Place<'_>) -> bool;
}

impl AccessControlled for ExposedTool {
    fn within(_: &ServerRoute) -> bool {
        true
    }

    fn allowed(&self, inner: &Inner, context: &RequestContext, (mount, mounted): Place<'_>) -> bool {
        inner.allows(context, mount, mounted, self)
    }
}

impl AccessControlled for Prompt {
    fn within(mount: &ServerRoute) -> bool {
        mount.is_whole()
    }

    fn allowed(&self, inner: &Inner, context: &RequestContext, (mount, mounted): Place<'_>) -> bool {
        inner.allows_prompt(context, mount, mounted, self.own())
    }
}

/// Something that was found by its name.
struct LookupResult<'a, T> {
    place: Place<'a>,
    items: Arc<ByName<T>>,
    at: usize,
}

impl<'a> Target<'a> {
    pub(super) fn tool(&self) -> Option<&ExposedTool> {
        match &self.what {
            What::Tool(tools, at) => Some(tools.get(*at)),
            What::Named(_) => None,
        }
    }

    /// Whether a legacy server does this tool as a task.
    pub(super) fn support(&self) -> Support {
        match self.tool() {
            Some(tool) if tool.tasks != Support::Forbidden => {
                let info = self.mounted.upstream.info();
                if tasks::is_offered(info.as_deref()) {
                    tool.tasks
                } else {
                    Support::Forbidden
                }
            }
            _ => Support::Forbidden,
        }
    }

    /// Whether a task of a legacy server is asked for.
    pub(super) fn is_mapped(&self) -> bool {
        self.task.as_deref().is_some_and(TaskIds::is_at_legacy)
    }

    /// What is asked for, as the server calls it.
    pub(super) fn what(&self) -> &str {
        match &self.what {
            What::Tool(tools, at) => tools.get(*at).own(),
            What::Named(name) => name,
        }
    }

    /// The same, without anybody who is asked after it.
    pub(super) fn alone(&self) -> Self {
        Self::at((self.mount, self.mounted), self.what())
    }

    pub(super) fn others(&self) -> impl Iterator<Item = Self> {
        self.others.iter().map(|place| Self::at(*place, self.what()))
    }

    fn at((mount, mounted): Place<'a>, what: &str) -> Self {
        Self {
            mount,
            mounted,
            rename: None,
            others: Vec::new(),
            task: None,
            what: What::Named(what.into()),
        }
    }

    /// The same, with a member of params that the server knows by another value.
    fn renaming(self, member: &'static str, value: Bytes) -> Self {
        Self {
            rename: Some((member, value)),
            ..self
        }
    }

    fn first_of(mut places: Vec<Place<'a>>, what: &str) -> Option<Self> {
        if places.is_empty() {
            return None;
        }
        let first = places.remove(0);
        Some(Self {
            others: places,
            ..Self::at(first, what)
        })
    }

    fn of_tool(found: LookupResult<'a, ExposedTool>, called: &str) -> Self {
        let own = found.items.get(found.at).own();
        Self {
            mount: found.place.0,
            mounted: found.place.1,
            rename: (own != called).then(|| ("name", object::quote(own))),
            others: Vec::new(),
            task: None,
            what: What::Tool(found.items, found.at),
        }
    }

    fn of_prompt(found: &LookupResult<'a, Prompt>, called: &str) -> Self {
        let own = found.items.get(found.at).own();
        Self {
            rename: (own != called).then(|| ("name", object::quote(own))),
            ..Self::at(found.place, own)
        }
    }
}

impl Inner {
    /// Where a call of a tool goes, among what is known without asking anybody.
    pub(super) fn known_target<'a>(&self, context: &'a RequestContext, call: &Call) -> Option<Target<'a>> {
        if call.method != Method::ToolsCall {
            return None;
        }
        let name = object::text(call.params.get("name")?)?;
        let found = self.find_known(context, &context.gateway.wanted(&name))?;
        Some(Target::of_tool(found, &name))
    }

    /// Where a call goes. Servers are asked for what they have where it is not known.
    pub(super) async fn target<'a>(
        &self,
        context: &'a RequestContext,
        era: Era,
        call: &Call,
    ) -> Result<Target<'a>, TargetError> {
        match &call.method {
            Method::ToolsCall => {
                let name = text(&call.params, "name", "params.name must be the name of a tool")?;
                let found = self.find(context, &context.gateway.wanted(&name)).await?;
                let target = found.map(|found| Target::of_tool(found, &name));
                target.ok_or_else(|| TargetError::Unknown(ErrorObject::unknown_tool(&name)))
            }
            Method::PromptsGet => {
                let name = text(&call.params, "name", "params.name must be the name of a prompt")?;
                let found = self.prompt(context, &name).await?;
                Ok(Target::of_prompt(&found, &name))
            }
            Method::ResourcesRead => {
                let uri = text(&call.params, "uri", "params.uri must be the URI of a resource")?;
                let target = match context.gateway.spec.resource_naming {
                    ResourceNaming::Prefix => self.place_named(context, &uri).map(|(place, own)| {
                        let quoted = object::quote(&own);
                        Target::at(place, &own).renaming("uri", quoted)
                    }),
                    _ => Target::first_of(self.places_of(context, &uri).await, &uri),
                };
                target.ok_or_else(|| TargetError::Unknown(ErrorObject::unknown_resource(&uri, era)))
            }
            Method::Complete => self.completed(context, call).await,
            Method::TasksGet | Method::TasksUpdate | Method::TasksCancel | Method::TasksResult => {
                self.task(context, era, call)
            }
            other => self.beyond(context, other),
        }
    }

    /// Who has what is to be completed: an argument of a prompt, or a variable of a resource template.
    async fn completed<'a>(&self, context: &'a RequestContext, call: &Call) -> Result<Target<'a>, TargetError> {
        let odd = "params.ref must be a reference to a prompt or a resource";
        let invalid = || TargetError::Unknown(ErrorObject::invalid_params(odd));
        let reference = call
            .params
            .get("ref")
            .and_then(|raw| RawObject::parse_checked(raw).ok());
        let mut reference = reference.ok_or_else(invalid)?;
        let kind = text(&reference, "type", odd)?;
        match &*kind {
            "ref/prompt" => {
                let name = text(&reference, "name", odd)?;
                let found = self.prompt(context, &name).await?;
                let mut target = Target::of_prompt(&found, &name);
                if let Some((_, own)) = target.rename.take() {
                    reference.set("name", own);
                    target.rename = Some(("ref", reference.to_bytes()));
                }
                Ok(target)
            }
            "ref/resource" => {
                let uri = text(&reference, "uri", odd)?;
                let target = match context.gateway.spec.resource_naming {
                    ResourceNaming::Prefix => self.place_named(context, &uri).map(|(place, own)| {
                        reference.set("uri", object::quote(&own));
                        Target::at(place, &own).renaming("ref", reference.to_bytes())
                    }),
                    _ => self.owner_of(context, &uri).await.map(|place| Target::at(place, &uri)),
                };
                let unknown = || ErrorObject::invalid_params(format!("no server has the resource {uri}"));
                target.ok_or_else(|| TargetError::Unknown(unknown()))
            }
            _ => Err(invalid()),
        }
    }

    /// Where a task is.
    fn task<'a>(&self, context: &'a RequestContext, era: Era, call: &Call) -> Result<Target<'a>, TargetError> {
        if era == Era::Modern && !tasks::are_known(call.capabilities.as_ref()) {
            return Err(TargetError::Unknown(tasks::undeclared()));
        }
        let id = text(&call.params, "taskId", "params.taskId must be the id of a task")?;
        let found = tasks::find(context, &self.keys, &id);
        let found = found.filter(|found| era == Era::Modern || found.is_at(Era::Legacy));
        let found = found.ok_or_else(|| TargetError::Unknown(ErrorObject::invalid_params("unknown task")))?;
        let known = found.known(object::quote(&id));
        let target = Target::at((found.mount, found.mounted), call.method.as_str());
        Ok(Target {
            task: Some(Arc::new(known)),
            ..target.renaming("taskId", object::quote(&found.id))
        })
    }

    /// A method of an extension says nothing of whose it is. It is the server's, where there is one and nothing is renamed.
    fn beyond<'a>(&self, context: &'a RequestContext, method: &Method) -> Result<Target<'a>, TargetError> {
        let unknown = || TargetError::Unknown(ErrorObject::method_not_found(method.as_str()));
        // Tasks of 2025-11-25 are none of the extension's.
        if method.is_removed() {
            return Err(unknown());
        }
        let place = context.sole_server().ok_or_else(unknown)?;
        if !self.allows_method(context, place.0, place.1, method.as_str()) {
            return Err(unknown());
        }
        Ok(Target::at(place, method.as_str()))
    }

    async fn prompt<'a>(
        &self,
        context: &'a RequestContext,
        name: &str,
    ) -> Result<LookupResult<'a, Prompt>, TargetError> {
        let wanted = context.gateway.wanted(name);
        let found = match self.find_known(context, &wanted) {
            Some(found) => Some(found),
            None => self.find(context, &wanted).await?,
        };
        found.ok_or_else(|| TargetError::Unknown(ErrorObject::unknown_prompt(name)))
    }

    /// What has this name for this caller, among what is known without asking.
    fn find_known<'a, T: AccessControlled>(
        &self,
        context: &'a RequestContext,
        wanted: &NameLookup<'a, '_>,
    ) -> Option<LookupResult<'a, T>>
    where
        ByName<T>: Listing,
    {
        for mount in wanted.mounts.iter().filter(|mount| T::within(mount)) {
            let Some(mounted) = mount.resolve(&context.caller) else {
                continue;
            };
            // Of two servers with one name the first has it, so the second is not asked before the first is known.
            let items = match mounted.upstream.known::<ByName<T>>() {
                Some(items) => items,
                // Lists leave such a server out; what others have is called without waiting for it.
                None if mounted.upstream.failed_within::<ByName<T>>(FAILURE_AGE) => continue,
                None => return None,
            };
            if let Some(found) = self.found(context, (mount, mounted), items, wanted) {
                return Some(found);
            }
        }
        None
    }

    /// The same, after servers were asked again what they have. What the caller may not use is not found.
    async fn find<'a, T: AccessControlled>(
        &self,
        context: &'a RequestContext,
        wanted: &NameLookup<'a, '_>,
    ) -> Result<Option<LookupResult<'a, T>>>
    where
        ByName<T>: Listing,
    {
        let mut failure = None;
        for mount in wanted.mounts.iter().filter(|mount| T::within(mount)) {
            let Some(mounted) = mount.resolve(&context.caller) else {
                continue;
            };
            match self.list_anew(context, (mount, mounted)).await {
                Ok(items) => {
                    if let Some(found) = self.found(context, (mount, mounted), items, wanted) {
                        return Ok(Some(found));
                    }
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        // A name that may belong to a server which cannot be asked is not called unknown.
        failure.map_or(Ok(None), Err)
    }

    fn found<'a, T: AccessControlled>(
        &self,
        context: &'a RequestContext,
        place: Place<'a>,
        items: Arc<ByName<T>>,
        wanted: &NameLookup<'_, '_>,
    ) -> Option<LookupResult<'a, T>> {
        let at = items.position(wanted.naming, wanted.name)?;
        let item = items.get(at);
        if let Some(aliases) = wanted.aliases
            && aliases.name_of(&place.0.server.name, item.own()).is_some()
        {
            return None;
        }
        item.allowed(self, context, place)
            .then_some(LookupResult { place, items, at })
    }

    async fn list_anew<L: Listing>(&self, context: &RequestContext, (mount, mounted): Place<'_>) -> Result<Arc<L>> {
        let wanted = context.credential_for(mount, mounted);
        let credential = self.broker.credential(&wanted).await?;
        let listed = mounted.upstream.listed_within::<L>(&credential, MISS_AGE).await?;
        Ok(listed.items.clone())
    }
}

fn text(params: &RawObject, member: &str, problem: &'static str) -> Result<String, TargetError> {
    let text = params.get(member).and_then(object::text);
    text.map(|text| text.into_owned())
        .ok_or_else(|| TargetError::Unknown(ErrorObject::invalid_params(problem)))
}
