//! The list methods: fetches the lists of all servers concurrently, then merges, sorts and pages them.

mod adapt;

use std::{sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use portolan_client::{
    CacheHints, ListSnapshot, Listing, Prompts, ResourceTemplates, Resources, Tools,
    failure::{FAILURE_KEY, OMITTED_KEY},
};
use portolan_core::{Decision, Error, OmittedDefinition, ResourceNaming, Result, ServerName};
use portolan_wire::{
    era::{Era, ProtocolVersion},
    error::ErrorObject,
    meta,
    method::Method,
    object::{self, RawObject},
    rewrite::JsonPath,
};

use crate::{
    config::GatewayConfig,
    cursor::Cursors,
    routing::{
        self, Access, Named, Place, RequestContext, Resolver, ServerRoute, exposed_prompts, exposed_tools, uris,
    },
};

/// Answers the list methods.
#[derive(Debug)]
pub(crate) struct Lists {
    config: Arc<GatewayConfig>,
    resolver: Arc<Resolver>,
    cursors: Cursors,
}

/// An item of a list: its name or URI for clients, and its definition.
type Item = (Box<str>, Bytes);

/// Who asks, with a client of which era.
type Client<'a> = (&'a RequestContext, Era);

/// The items of one server that a caller may see.
struct Shown {
    items: Vec<Item>,
    omitted: Vec<OmittedDefinition>,
    hints: CacheHints,
}

/// All items of one kind that a caller may see.
#[derive(Debug)]
struct Merged {
    /// Sorted by name or URI, without duplicates.
    items: Vec<Item>,
    /// The servers whose lists could not be fetched.
    failures: Vec<(String, Error)>,
    /// The definitions that were left out, by server.
    omitted: Vec<(ServerName, Vec<OmittedDefinition>)>,
    hints: CacheHints,
}

/// A kind of list, filtered by the policy.
trait Listable: Listing {
    /// The setting that distinguishes equal names of two servers.
    const REMEDY: &'static str = "naming: prefix";

    /// Returns the items of a server's list that a caller with a client of this era may see.
    fn shown(listed: &ListSnapshot<Self>, access: &Access, client: Client<'_>, place: Place<'_>) -> Vec<Item>;

    /// Returns what was left out of a server's list.
    fn left_out(server: &ServerName, listed: &ListSnapshot<Self>) -> Vec<OmittedDefinition> {
        let _ = server;
        listed.omitted().to_vec()
    }

    /// Returns whether a server may have such items for callers of this gateway.
    fn within(route: &ServerRoute) -> bool {
        route.is_whole()
    }
}

impl Listable for Tools {
    fn shown(listed: &ListSnapshot<Self>, access: &Access, (context, era): Client<'_>, place: Place<'_>) -> Vec<Item> {
        let server = &place.0.server.name;
        let tools = exposed_tools(server, listed);
        let visible = tools
            .iter()
            .filter(|tool| is_visible(access.tool(context, place, tool)));
        let items = visible.filter_map(|tool| match tool.legacy() {
            Some(tool) if era == Era::Legacy => item(tool, context, server),
            _ => item(tool, context, server),
        });
        match context.gateway.spec.resource_naming {
            ResourceNaming::Prefix => items
                .map(|(name, tool)| (name, uris::in_text(server, &tool, uris::TOOL)))
                .collect(),
            _ => items.collect(),
        }
    }

    fn left_out(server: &ServerName, listed: &ListSnapshot<Self>) -> Vec<OmittedDefinition> {
        [listed.omitted(), exposed_tools(server, listed).omitted()].concat()
    }

    fn within(_: &ServerRoute) -> bool {
        true
    }
}

impl Listable for Prompts {
    fn shown(listed: &ListSnapshot<Self>, access: &Access, (context, _): Client<'_>, place: Place<'_>) -> Vec<Item> {
        let server = &place.0.server.name;
        let prompts = exposed_prompts(server, listed);
        let visible = prompts
            .iter()
            .filter(|prompt| is_visible(access.prompt(context, place, prompt.own())));
        visible.filter_map(|prompt| item(prompt, context, server)).collect()
    }
}

impl Listable for Resources {
    const REMEDY: &'static str = "resource naming: prefix";

    fn shown(listed: &ListSnapshot<Self>, access: &Access, (context, _): Client<'_>, place: Place<'_>) -> Vec<Item> {
        let all = listed.items.iter();
        let visible = all.filter(|(uri, _)| is_visible(access.resource(context, place, uri)));
        by_uri(visible, context, &place.0.server.name, uris::RESOURCE)
    }
}

impl Listable for ResourceTemplates {
    const REMEDY: &'static str = "resource naming: prefix";

    fn shown(listed: &ListSnapshot<Self>, access: &Access, (context, _): Client<'_>, place: Place<'_>) -> Vec<Item> {
        let all = listed.items.iter();
        let visible = all.filter(|(uri, _)| is_visible(access.resource(context, place, uri)));
        by_uri(visible, context, &place.0.server.name, uris::TEMPLATE)
    }
}

fn is_visible(decision: Option<Decision>) -> bool {
    decision.is_some_and(|decision| decision.is_visible())
}

/// Returns an item under the client's form of its URI, which is at `place` in its definition.
fn by_uri<'a>(
    all: impl Iterator<Item = (&'a str, &'a Bytes)>,
    context: &RequestContext,
    server: &ServerName,
    place: JsonPath,
) -> Vec<Item> {
    match context.gateway.spec.resource_naming {
        ResourceNaming::Prefix => all
            .map(|(uri, definition)| (uris::prefixed(server, uri), uris::in_text(server, definition, place)))
            .collect(),
        _ => all.map(|(uri, definition)| (uri.into(), definition.clone())).collect(),
    }
}

/// Returns an item under its name for clients; `None` if that name is the alias of something else.
fn item(named: &impl Named, context: &RequestContext, server: &ServerName) -> Option<Item> {
    let naming = context.gateway.spec.naming;
    let name = named.name(naming);
    if let Some(aliases) = &context.gateway.aliases {
        if let Some(alias) = aliases.name_of(server, named.own()) {
            return Some((alias.into(), routing::renamed(named.plain_definition(), alias)));
        }
        if aliases.takes(name) {
            return None;
        }
    }
    Some((name.into(), named.definition(naming).clone()))
}

impl Lists {
    pub(crate) fn new(config: &Arc<GatewayConfig>, resolver: &Arc<Resolver>, cursors: Cursors) -> Self {
        Self {
            config: config.clone(),
            resolver: resolver.clone(),
            cursors,
        }
    }

    /// Returns the `result` of a list method, for a client of this version.
    pub(crate) async fn list(
        &self,
        context: &RequestContext,
        version: ProtocolVersion,
        method: &Method,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let after = match params.get("cursor") {
            None => None,
            Some(raw) => Some(self.cursors.open(&context.gateway.spec.name, method, raw)?),
        };
        let client = (context, version.era());
        let (member, mut merged) = match method {
            Method::PromptsList => (Prompts::MEMBER, self.merged::<Prompts>(client).await),
            Method::ResourcesList => (Resources::MEMBER, self.merged::<Resources>(client).await),
            Method::ResourceTemplatesList => (
                ResourceTemplates::MEMBER,
                self.merged::<ResourceTemplates>(client).await,
            ),
            _ => (Tools::MEMBER, self.merged::<Tools>(client).await),
        };
        let items = &mut merged.items;
        if let Some(after) = after {
            merged.omitted.clear();
            items.retain(|(name, _)| **name > *after);
        }
        let page = self.config.limits.page.max(1);
        let next = match items.get(page) {
            None => None,
            Some(_) => {
                items.truncate(page);
                let last = items.last();
                last.map(|(name, _)| self.cursors.seal(&context.gateway.spec.name, method, name))
                    .transpose()?
            }
        };
        Ok(self.render(version, member, &merged, next))
    }

    async fn merged<L: Listable>(&self, client: Client<'_>) -> Merged {
        let (context, _) = client;
        let places = context.places().filter(|(route, _)| L::within(route));
        let fetched = join_all(places.map(|place| async move { (place.0, self.shown_of::<L>(client, place).await) }));
        let (mut items, mut failures): (Vec<(Item, &ServerName)>, _) = (Vec::new(), Vec::new());
        let mut hints: Option<CacheHints> = None;
        let mut omitted = Vec::new();
        for (route, shown) in fetched.await {
            match shown {
                Ok(shown) => {
                    let server = &route.server.name;
                    items.extend(shown.items.into_iter().map(|item| (item, server)));
                    if !shown.omitted.is_empty() {
                        omitted.push((server.clone(), shown.omitted));
                    }
                    hints = Some(hints.map_or(shown.hints, |hints| hints.and(shown.hints)));
                }
                Err(error) => {
                    let list = L::MEMBER;
                    tracing::warn!(server = %route.server.name, list, %error, "a server is omitted from a list");
                    failures.push((route.server.name.to_string(), error));
                }
            }
        }
        // Servers are sorted by name and the sort is stable, so the first server's item is kept.
        items.sort_by(|((one, _), _), ((other, _), _)| one.cmp(other));
        items.dedup_by(|((name, _), hidden), ((kept, _), first)| {
            let is_taken = name == kept;
            if is_taken {
                let collisions = &context.gateway.collisions;
                collisions.log(L::MEMBER, name, [first, hidden], L::REMEDY);
            }
            is_taken
        });
        let items = items.into_iter().map(|(item, _)| item).collect();
        let mut hints = hints.filter(|_| failures.is_empty()).unwrap_or_default();
        hints.public &= !self.resolver.access().depends_on_caller()
            && context.gateway.routes().iter().all(|route| route.is_shared_by_all());
        Merged {
            items,
            failures,
            omitted,
            hints,
        }
    }

    async fn shown_of<L: Listable>(&self, client: Client<'_>, place: Place<'_>) -> Result<Shown> {
        let (context, _) = client;
        let credential = self.resolver.credential(context, place, None).await?;
        let listed = place.0.upstream(place.1).list::<L>(&credential).await?;
        let hints = CacheHints {
            ttl: listed.remaining(),
            // A server that receives a credential may return a different list to each caller, whatever its hints say.
            public: listed.hints.public && credential.headers.is_empty(),
        };
        let access = self.resolver.access();
        let mut omitted = L::left_out(&place.0.server.name, &listed);
        omitted.retain(|omitted| access.may_know(context, place, omitted));
        Ok(Shown {
            items: L::shown(&listed, access, client, place),
            omitted,
            hints,
        })
    }

    fn render(&self, version: ProtocolVersion, member: &str, merged: &Merged, next: Option<String>) -> Bytes {
        let items = &merged.items;
        let mut list = BytesMut::with_capacity(items.iter().map(|(_, item)| item.len() + 1).sum::<usize>() + 2);
        list.put_u8(b'[');
        for (at, (_, definition)) in items.iter().enumerate() {
            if at > 0 {
                list.put_u8(b',');
            }
            list.put_slice(&adapt::definition(definition, version));
        }
        list.put_u8(b']');
        let mut result = RawObject::new();
        if version.era() == Era::Modern {
            result.set("resultType", Bytes::from_static(b"\"complete\""));
            write_hints(&mut result, merged.hints);
        }
        result.set(member, list.freeze());
        if let Some(next) = next {
            result.set("nextCursor", object::quote(&next));
        }
        let mut meta = list_meta(&self.config, version.era(), &merged.failures);
        if !merged.omitted.is_empty() {
            meta.set(OMITTED_KEY, omitted(&merged.omitted));
        }
        if !meta.is_empty() {
            result.set("_meta", meta.to_bytes());
        }
        result.to_bytes()
    }
}

/// Returns the `_meta` of a list: the server info for a modern client, and the omitted servers with reasons.
pub(crate) fn list_meta(config: &GatewayConfig, era: Era, failures: &[(String, Error)]) -> RawObject {
    let mut meta = RawObject::new();
    if era == Era::Modern {
        meta.set(meta::SERVER_INFO, config.server_info());
    }
    if !failures.is_empty() {
        let mut reasons = RawObject::new();
        for (server, error) in failures {
            reasons.set(server, object::quote(&error.to_string()));
        }
        meta.set(FAILURE_KEY, reasons.to_bytes());
    }
    meta
}

/// Returns the problems of the definitions that were left out, by server and name.
fn omitted(omitted: &[(ServerName, Vec<OmittedDefinition>)]) -> Bytes {
    let mut servers = RawObject::new();
    for (server, definitions) in omitted {
        let mut problems = RawObject::new();
        for definition in definitions {
            problems.set(&definition.name, object::quote(&definition.problem));
        }
        servers.set(server.as_str(), problems.to_bytes());
    }
    servers.to_bytes()
}

fn write_hints(result: &mut RawObject, hints: CacheHints) {
    let ttl = u64::try_from(hints.ttl.min(Duration::from_secs(u64::from(u32::MAX))).as_millis());
    result.set("ttlMs", ttl.unwrap_or_default().to_string().into());
    let scope: &[u8] = if hints.public { b"\"public\"" } else { b"\"private\"" };
    result.set("cacheScope", Bytes::from_static(scope));
}
