//! Digests of tool definitions, to report tools whose definition changes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;
use portolan_core::{DefinitionChange, Tool, ToolSetDigest};
use serde_json::value::RawValue;

use super::{Catalog, ServerLists, Tools};

/// The digests of tools, also of those that are no longer listed: a tool that disappears and comes back with another
/// definition is the attack.
#[derive(Debug, Default)]
pub(super) struct DefinitionDigests {
    /// Shared with other catalogs that began with the same tools, until something differs.
    seen: Mutex<Arc<SeenTools>>,
    /// The digest of the registry's latest tools.
    seed: Mutex<Option<ToolSetDigest>>,
}

/// The digests of tools by name.
pub(super) type SeenTools = HashMap<Box<str>, Seen>;

type Digest = [u8; 32];

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The digest of the text.
    text: Digest,
    /// The digest of the content: members sorted, without white space.
    meaning: Digest,
}

impl DefinitionDigests {
    /// Records the registry's tools. Returns `true` if they differ from those before.
    pub(super) fn take_seed(&self, tools: ToolSetDigest) -> bool {
        let mut seed = self.seed.lock().unwrap_or_else(PoisonError::into_inner);
        seed.replace(tools) != Some(tools)
    }

    /// Begins with these digests, unless something was seen already. Returns whether it did.
    pub(super) fn begin_with(&self, tools: &Arc<SeenTools>) -> bool {
        let mut seen = self.lock();
        if !seen.is_empty() {
            return false;
        }
        *seen = tools.clone();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Arc<SeenTools>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the digests of tools.
pub(super) fn seen_of<'a>(tools: impl Iterator<Item = &'a Tool>) -> SeenTools {
    tools.map(|tool| (tool.name().as_str().into(), seen(tool))).collect()
}

fn seen(tool: &Tool) -> Seen {
    let text = digest(tool.definition().get().as_bytes());
    let meaning = meaning(tool.definition()).unwrap_or(text);
    Seen { text, meaning }
}

impl ServerLists {
    /// Compares each definition with the one that was seen before under its name.
    pub(super) fn watch_definitions(&self, catalog: &Catalog, tools: &Tools) {
        tools
            .iter()
            .for_each(|tool| self.watch_definition(&catalog.digests, tool));
    }

    /// Compares a definition with the first and the last one that were seen under its name.
    fn watch_definition(&self, digests: &DefinitionDigests, tool: &Tool) {
        let text = digest(tool.definition().get().as_bytes());
        let name = tool.name().as_str();
        let mut seen = digests.lock();
        let before = seen.get(name).copied();
        if before.is_some_and(|before| before.text == text) {
            return;
        }
        let meaning = meaning(tool.definition()).unwrap_or(text);
        if before.is_some() || seen.len() < 2 * self.config().limits.items {
            Arc::make_mut(&mut seen).insert(name.into(), Seen { text, meaning });
        }
        drop(seen);
        if let Some(before) = before.filter(|before| before.meaning != meaning) {
            let (before, after) = (hex(&before.meaning), hex(&meaning));
            let change = DefinitionChange::new(&self.spec().name, name, &before, &after);
            if let Some(hook) = &self.config().on_definition_change {
                hook(&change);
            }
        }
    }
}

fn digest(text: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    bytes
}

/// Servers may write the members of an object in a different order each time.
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
