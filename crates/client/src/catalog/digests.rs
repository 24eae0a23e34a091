//! Digests of tool definitions: a tool that changes what it says of itself is reported.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest;
use portolan_core::{DefinitionChange, Tool};
use serde_json::value::RawValue;

use super::{Catalog, ServerLists, Tools};

/// What is remembered of tools: also of those that are listed no longer, because a tool that goes and comes back as
/// another is the attack.
#[derive(Debug, Default)]
pub(super) struct DefinitionDigests {
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

impl DefinitionDigests {
    /// Notes what the registry says, and returns whether that is something else than before.
    pub(super) fn take_seed(&self, tools: &[Tool]) -> bool {
        let mut seed = DefaultHasher::new();
        tools.iter().for_each(|tool| tool.definition().get().hash(&mut seed));
        let seed = seed.finish();
        self.seed.swap(seed, Ordering::Relaxed) != seed
    }
}

impl ServerLists {
    /// Compares each definition with the one that was seen before under its name.
    pub(super) fn watch_definitions(&self, catalog: &Catalog, tools: &Tools) {
        tools
            .iter()
            .for_each(|tool| self.watch_definition(&catalog.digests, tool));
    }

    /// Compares a definition with the one that was seen first or last under its name.
    fn watch_definition(&self, digests: &DefinitionDigests, tool: &Tool) {
        let text = digest(tool.definition().get().as_bytes());
        let name = tool.name().as_str();
        let mut seen = digests.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(name).copied();
        if before.is_some_and(|before| before.text == text) {
            return;
        }
        let meaning = meaning(tool.definition()).unwrap_or(text);
        if before.is_some() || seen.len() < 2 * self.config().limits.items {
            seen.insert(name.into(), Seen { text, meaning });
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
