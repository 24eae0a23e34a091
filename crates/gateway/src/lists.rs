//! The list methods: the lists of all servers, fetched at once, merged, sorted and paged.

mod adapt;
mod collisions;

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use portolan_core::{Error, Owner, ResourceNaming, Result, ServerName};
use portolan_wire::{
    era::{Era, ProtocolVersion},
    error::ErrorObject,
    method::Method,
    object::{self, RawObject},
    rewrite::JsonPath,
};

pub(crate) use self::collisions::Collisions;
use crate::{
    alias,
    exposure::{ExposedTools, Named},
    reply::FAILURE_KEY,
    request_context::RequestContext,
    routes::{InstallRoute, ServerRoute},
    seal::Purpose,
    service::Inner,
    upstream::{Hints, Listing, Prompts, Resources, Templates},
    uris,
};

/// An item on a list: its name or URI towards clients, and its definition.
type Item = (Box<str>, Bytes);

/// All that a caller may see of one kind.
#[derive(Debug)]
struct Merged {
    /// Sorted by name or URI, each once.
    items: Vec<Item>,
    /// The servers whose lists could not be had.
    failures: Vec<(String, Error)>,
    hints: Hints,
}

/// What of a server's list a caller sees.
trait Listable: Listing {
    /// What tells those of two servers apart that have one name.
    const APART: &'static str = "naming: prefix";

    fn shown(&self, inner: &Inner, context: &RequestContext, mount: &ServerRoute, mounted: &InstallRoute) -> Vec<Item>;

    /// Whether a server may have any for callers of this gateway.
    fn within(mount: &ServerRoute) -> bool {
        mount.is_whole()
    }
}

impl Listable for ExposedTools {
    fn shown(&self, inner: &Inner, context: &RequestContext, mount: &ServerRoute, mounted: &InstallRoute) -> Vec<Item> {
        let allowed = self.iter().filter(|tool| inner.allows(context, mount, mounted, tool));
        let items = allowed.filter_map(|tool| item(tool, context, mount));
        match context.gateway.spec.resource_naming {
            ResourceNaming::Prefix => items
                .map(|(name, tool)| (name, uris::in_text(&mount.server.name, &tool, uris::TOOL)))
                .collect(),
            _ => items.collect(),
        }
    }

    fn within(_: &ServerRoute) -> bool {
        true
    }
}

impl Listable for Prompts {
    fn shown(&self, inner: &Inner, context: &RequestContext, mount: &ServerRoute, mounted: &InstallRoute) -> Vec<Item> {
        let prompts = self.iter();
        let allowed = prompts.filter(|prompt| inner.allows_prompt(context, mount, mounted, prompt.own()));
        allowed.filter_map(|prompt| item(prompt, context, mount)).collect()
    }
}

impl Listable for Resources {
    const APART: &'static str = "uris: prefix";

    fn shown(&self, inner: &Inner, context: &RequestContext, mount: &ServerRoute, mounted: &InstallRoute) -> Vec<Item> {
        let allowed = self
            .iter()
            .filter(|(uri, _)| inner.allows_resource(context, mount, mounted, uri));
        by_uri(allowed, context, mount, uris::RESOURCE)
    }
}

impl Listable for Templates {
    const APART: &'static str = "uris: prefix";

    fn shown(&self, inner: &Inner, context: &RequestContext, mount: &ServerRoute, mounted: &InstallRoute) -> Vec<Item> {
        let allowed = self
            .iter()
            .filter(|(uri, _)| inner.allows_resource(context, mount, mounted, uri));
        by_uri(allowed, context, mount, uris::TEMPLATE)
    }
}

/// By the URI that clients have for it, which stands at `place` of its definition.
fn by_uri<'a>(
    all: impl Iterator<Item = (&'a str, &'a Bytes)>,
    context: &RequestContext,
    mount: &ServerRoute,
    place: JsonPath,
) -> Vec<Item> {
    let server = &mount.server.name;
    match context.gateway.spec.resource_naming {
        ResourceNaming::Prefix => all
            .map(|(uri, definition)| (uris::prefixed(server, uri), uris::in_text(server, definition, place)))
            .collect(),
        _ => all.map(|(uri, definition)| (uri.into(), definition.clone())).collect(),
    }
}

/// By the name that clients call it; none if that is the alias of something else.
fn item(named: &impl Named, context: &RequestContext, mount: &ServerRoute) -> Option<Item> {
    let naming = context.gateway.spec.naming;
    let name = named.name(naming);
    if let Some(aliases) = &context.gateway.aliases {
        if let Some(alias) = aliases.name_of(&mount.server.name, named.own()) {
            return Some((alias.into(), alias::renamed(named.plain_definition(), alias)));
        }
        if aliases.takes(name) {
            return None;
        }
    }
    Some((name.into(), named.definition(naming).clone()))
}

impl Inner {
    /// The `result` of a list method, for a client of this version.
    pub(crate) async fn list(
        &self,
        context: &RequestContext,
        version: ProtocolVersion,
        method: &Method,
        params: &RawObject,
    ) -> Result<Bytes, ErrorObject> {
        let after = match params.get("cursor") {
            None => None,
            Some(raw) => Some(self.open_cursor(context, method, raw)?),
        };
        let (member, mut merged) = match method {
            Method::PromptsList => (Prompts::MEMBER, self.merged::<Prompts>(context).await),
            Method::ResourcesList => (Resources::MEMBER, self.merged::<Resources>(context).await),
            Method::ResourceTemplatesList => (Templates::MEMBER, self.merged::<Templates>(context).await),
            _ => (ExposedTools::MEMBER, self.merged::<ExposedTools>(context).await),
        };
        let items = &mut merged.items;
        if let Some(after) = after {
            items.retain(|(name, _)| **name > *after);
        }
        let page = self.config.limits.page.max(1);
        let next = match items.get(page) {
            None => None,
            Some(_) => {
                items.truncate(page);
                let last = items.last();
                last.map(|(name, _)| self.seal_cursor(context, method, name))
                    .transpose()?
            }
        };
        Ok(self.render(version, member, &merged, next))
    }

    async fn merged<L: Listable>(&self, context: &RequestContext) -> Merged {
        let places = context.places().filter(|(mount, _)| L::within(mount));
        let fetched = join_all(
            places.map(|(mount, mounted)| async move { (mount, self.shown_of::<L>(context, mount, mounted).await) }),
        );
        let (mut items, mut failures): (Vec<(Item, &ServerName)>, _) = (Vec::new(), Vec::new());
        let mut hints: Option<Hints> = None;
        for (mount, shown) in fetched.await {
            match shown {
                Ok((shown, said)) => {
                    items.extend(shown.into_iter().map(|item| (item, &mount.server.name)));
                    hints = Some(hints.map_or(said, |hints| hints.and(said)));
                }
                Err(error) => {
                    let list = L::MEMBER;
                    tracing::warn!(server = %mount.server.name, list, %error, "a server is left out of a list");
                    failures.push((mount.server.name.to_string(), error));
                }
            }
        }
        // Servers come sorted by name and the sort is stable, so of two of one name the first server's stays.
        items.sort_by(|((one, _), _), ((other, _), _)| one.cmp(other));
        items.dedup_by(|((name, _), hidden), ((kept, _), first)| {
            let is_taken = name == kept;
            if is_taken {
                context.gateway.collisions.note::<L>(name, first, hidden);
            }
            is_taken
        });
        let items = items.into_iter().map(|(item, _)| item).collect();
        let mut hints = hints.filter(|_| failures.is_empty()).unwrap_or_default();
        hints.public &= !self.policy.depends_on_caller() && context.gateway.mounts().iter().all(is_for_everybody);
        Merged { items, failures, hints }
    }

    async fn shown_of<L: Listable>(
        &self,
        context: &RequestContext,
        mount: &ServerRoute,
        mounted: &InstallRoute,
    ) -> Result<(Vec<Item>, Hints)> {
        let wanted = context.credential_for(mount, mounted);
        let credential = self.broker.credential(&wanted).await?;
        let listed = mounted.upstream.listed::<L>(&credential).await?;
        let hints = Hints {
            ttl: listed.remaining(),
            // A server that is called as somebody may say to each something else, whatever it says of that.
            public: listed.hints.public && credential.headers.is_empty(),
        };
        Ok((listed.items.shown(self, context, mount, mounted), hints))
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
        let meta = self.list_meta(version.era(), &merged.failures);
        if !meta.is_empty() {
            result.set("_meta", meta.to_bytes());
        }
        result.to_bytes()
    }

    /// Why a list is not whole, by server.
    pub(crate) fn list_meta(&self, era: Era, failures: &[(String, Error)]) -> RawObject {
        let mut meta = RawObject::new();
        if era == Era::Modern {
            meta.set(portolan_wire::meta::SERVER_INFO, self.server_info());
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

    /// A cursor says after which name to go on, so it stays good while items come and go.
    pub(crate) fn seal_cursor(
        &self,
        context: &RequestContext,
        method: &Method,
        name: &str,
    ) -> Result<String, ErrorObject> {
        let payload = format!("{}\n{method}\n{name}", context.gateway.spec.name);
        self.keys
            .seal(Purpose::Cursor, payload.as_bytes())
            .map_err(|error| crate::reply::error_object(&error))
    }

    pub(crate) fn open_cursor(
        &self,
        context: &RequestContext,
        method: &Method,
        raw: &Bytes,
    ) -> Result<String, ErrorObject> {
        let payload = object::text(raw).and_then(|cursor| self.keys.open(Purpose::Cursor, &cursor));
        let payload = payload.and_then(|payload| String::from_utf8(payload).ok());
        let place = payload.as_deref().and_then(|payload| {
            let (gateway, rest) = payload.split_once('\n')?;
            let (listed, name) = rest.split_once('\n')?;
            (gateway == context.gateway.spec.name.as_str() && listed == method.as_str()).then(|| name.to_owned())
        });
        place.ok_or_else(|| ErrorObject::invalid_params("the cursor is not one that this gateway gave"))
    }
}

/// Whether every caller is served by the same install.
fn is_for_everybody(mount: &ServerRoute) -> bool {
    mount.installs().all(|install| install.owner == Owner::Org)
}

fn write_hints(result: &mut RawObject, hints: Hints) {
    let ttl = u64::try_from(hints.ttl.min(Duration::from_secs(u64::from(u32::MAX))).as_millis());
    result.set("ttlMs", ttl.unwrap_or_default().to_string().into());
    let scope: &[u8] = if hints.public { b"\"public\"" } else { b"\"private\"" };
    result.set("cacheScope", Bytes::from_static(scope));
}
