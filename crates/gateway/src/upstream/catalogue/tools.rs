//! The tools of a server, and the watch over their definitions.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest;
use bytes::Bytes;
use portolan_core::{DefinitionChange, Result, ServerSnapshot, Tool, UpstreamCredential};
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};
use serde_json::value::RawValue;

use super::{
    super::{ListKind, ServerNotification, UpstreamServer},
    Cached, Catalogue, Hints, Listing, Prompts, Resources, Templates, resources,
};
use crate::exposure::ExposedTools;

/// What is remembered of tools: also of those that are listed no longer, because a tool that goes and comes back as
/// another is the attack.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<HashMap<Box<str>, Seen>>,
    /// What the registry said last, as a hash.
    seed: AtomicU64,
}

type Digest = [u8; 32];

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Of the text itself.
    text: Digest,
    /// Of what it says: members sorted, without white space.
    meaning: Digest,
}

impl Listing for ExposedTools {
    const METHOD: Method = Method::ToolsList;
    const MEMBER: &'static str = "tools";
    const CAPABILITY: Option<&'static str> = None;

    const LIST: ListKind = ListKind::Tools;

    fn cached(catalogue: &Catalogue) -> &Cached<Self> {
        &catalogue.tools
    }

    fn read(link: &UpstreamServer, items: Vec<Box<RawValue>>) -> Self {
        link.expose(link.parse(items))
    }

    fn is_same(&self, other: &Self) -> bool {
        self.is_same(other)
    }
}

impl UpstreamServer {
    /// Takes over what the registry knows, unless it says the same as before: the server itself may have been asked
    /// since.
    pub(crate) fn reseed(&self, tools: &[Tool]) {
        if tools.is_empty() {
            return;
        }
        let mut seed = DefaultHasher::new();
        tools.iter().for_each(|tool| tool.definition().get().hash(&mut seed));
        let seed = seed.finish();
        let cached = &self.catalogue.tools;
        if self.catalogue.watch.seed.swap(seed, Ordering::Relaxed) != seed || cached.listed.load().is_none() {
            let known = cached.listed.load_full();
            let listed = cached.store(self.expose(tools.to_vec()), Hints::default(), cached.change());
            if known.is_some_and(|known| !known.items.is_same(&listed.items)) {
                self.announce(&ServerNotification::List(ListKind::Tools));
            }
        }
    }

    /// The tools that the server lists now, in its order.
    pub(crate) async fn discover(&self, credential: &Arc<UpstreamCredential>) -> Result<Vec<Tool>> {
        let listed = self.items(&Method::ToolsList, "tools", credential).await?;
        Ok(self.parse(listed.items))
    }

    /// All that the server lists now, in its order.
    pub(crate) async fn snapshot(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) -> Result<ServerSnapshot> {
        let mut snapshot = ServerSnapshot::of_tools(self.discover(credential).await?);
        snapshot.prompts = self.usable::<Prompts>("name", credential).await?;
        snapshot.resources = self.usable::<Resources>("uri", credential).await?;
        snapshot.templates = self.usable::<Templates>("uriTemplate", credential).await?;
        Ok(snapshot)
    }

    /// The items of a list that are small enough and have the member `key`.
    async fn usable<L: Listing>(
        self: &Arc<Self>,
        key: &str,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut items = self.fetch::<L>(credential).await?.items;
        items.retain(|item| {
            let usable = resources::fits(item, &self.config().limits).and_then(|()| {
                let definition = Bytes::copy_from_slice(item.get().as_bytes());
                let members = RawObject::parse(&definition).map_err(|_| "it is no object")?;
                let named = members.get(key).and_then(object::text);
                named.map(drop).ok_or("it has no name")
            });
            if let Err(problem) = usable {
                tracing::warn!(server = %self.server.name, list = L::MEMBER, problem, "an item is left out");
            }
            usable.is_ok()
        });
        Ok(items)
    }

    fn parse(&self, items: Vec<Box<RawValue>>) -> Vec<Tool> {
        let mut tools = Vec::with_capacity(items.len());
        for definition in items {
            if let Err(problem) = resources::fits(&definition, &self.config().limits) {
                tracing::warn!(server = %self.server.name, problem, "a tool is left out");
                continue;
            }
            match Tool::parse(definition) {
                Ok(tool) => tools.push(tool),
                Err(error) => tracing::warn!(server = %self.server.name, %error, "a tool is left out"),
            }
        }
        tools
    }

    fn expose(&self, tools: Vec<Tool>) -> ExposedTools {
        let tools = ExposedTools::new(&self.server.name, tools);
        for tool in tools.iter() {
            self.watch(&tool.tool);
        }
        tools
    }

    /// Compares a definition with the one that was seen first or last under its name.
    fn watch(&self, tool: &Tool) {
        let text = digest(tool.definition().get().as_bytes());
        let (name, watch) = (tool.name().as_str(), &self.catalogue.watch);
        let mut seen = watch.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(name).copied();
        if before.is_some_and(|before| before.text == text) {
            return;
        }
        let meaning = meaning(tool.definition()).unwrap_or(text);
        if before.is_some() || seen.len() < 2 * self.config().limits.tools {
            seen.insert(name.into(), Seen { text, meaning });
        }
        drop(seen);
        if let Some(before) = before.filter(|before| before.meaning != meaning) {
            let (before, after) = (hex(&before.meaning), hex(&meaning));
            let change = DefinitionChange::new(&self.server.name, name, &before, &after);
            self.connector.audit.definition_changed(&change);
        }
    }
}

fn digest(text: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    bytes
}

/// Servers write the members of an object in any order, some in another each time.
fn meaning(definition: &RawValue) -> Option<Digest> {
    let value: serde_json::Value = serde_json::from_str(definition.get()).ok()?;
    let mut text = String::new();
    write(&value, &mut text);
    Some(digest(text.as_bytes()))
}

fn write(value: &serde_json::Value, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn hex(digest: &Digest) -> String {
    digest
        .iter()
        .fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_members_means_nothing_and_everything_else_does() {
        let of = |text: &str| meaning(&RawValue::from_string(text.into()).expect("JSON"));
        assert_eq!(of(r#"{"a":1,"b":[2, 3]}"#), of(r#"{ "b":[2,3],"a":1}"#));
        assert_ne!(of(r#"{"a":1,"b":[2,3]}"#), of(r#"{"a":1,"b":[3,2]}"#));
        assert_ne!(of(r#"{"a":"1"}"#), of(r#"{"a":1}"#));
    }
}
