//! Digests of tool definitions, to report tools whose definition changes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_lc_rs::digest;
use portolan_core::{DefinitionChange, Tool, ToolSetDigest};
use serde_json::value::RawValue;

use super::{Catalog, ServerLists, Tools};

/// How many definitions of one tool are remembered.
const KNOWN: usize = 8;

/// The digests of tools, also of those that are no longer listed: a tool that disappears and comes back with another
/// definition is the attack.
#[derive(Debug, Default)]
pub(super) struct DefinitionDigests {
    /// Shared with other catalogs that began with the same tools, until something differs.
    seen: Mutex<Arc<SeenTools>>,
    /// The digest of the registry's latest tools.
    seed: Mutex<Option<ToolSetDigest>>,
    /// Set when the server was restarted since its tools were last compared.
    restarted: AtomicBool,
}

/// The digests of tools by name.
pub(super) type SeenTools = HashMap<Box<str>, Seen>;

type Digest = [u8; 32];

/// What was seen under one name.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The last definition.
    last: Digests,
    /// The definitions before it, without their order, the last one last.
    known: VecDeque<Digest>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digests {
    /// The digest of the text.
    text: Digest,
    /// The digest of the content: members sorted, without white space.
    meaning: Digest,
    /// The digest of what is in it, in any order.
    content: Digest,
}

impl Digests {
    fn of(definition: &RawValue) -> Self {
        let text = digest(definition.get().as_bytes());
        let value: Option<serde_json::Value> = serde_json::from_str(definition.get()).ok();
        let written = |order: Order| {
            let mut out = String::new();
            write(value.as_ref()?, order, &mut out);
            Some(digest(out.as_bytes()))
        };
        Self {
            text,
            meaning: written(Order::Kept).unwrap_or(text),
            content: written(Order::Ignored).unwrap_or(text),
        }
    }
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
    let seen = |tool: &Tool| Seen::first(Digests::of(tool.definition()));
    tools.map(|tool| (tool.name().as_str().into(), seen(tool))).collect()
}

impl Seen {
    fn first(now: Digests) -> Self {
        Self {
            last: now,
            known: VecDeque::from([now.content]),
        }
    }

    /// Records a definition. Returns the last one before it, unless this one was seen before, perhaps in another order.
    fn replace(&mut self, now: Digests) -> Option<Digests> {
        let before = std::mem::replace(&mut self.last, now);
        if self.known.contains(&now.content) {
            return None;
        }
        if self.known.len() >= KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(now.content);
        Some(before)
    }
}

impl ServerLists {
    /// Compares each definition with those that were seen before under its name. Returns `true` if one is new.
    pub(super) fn watch_definitions(&self, catalog: &Catalog, tools: &Tools) -> bool {
        let restarted = catalog.digests.restarted.swap(false, Ordering::Relaxed);
        let watch = |tool: &Tool| self.watch_definition(&catalog.digests, tool, restarted);
        tools.iter().map(watch).fold(false, |any, is_new| any | is_new)
    }

    /// Compares a definition with those that were seen under its name. One that this server has had before, and one with
    /// the same words in another order, is no change: some servers write sets in another order at each start.
    fn watch_definition(&self, digests: &DefinitionDigests, tool: &Tool, restarted: bool) -> bool {
        let text = digest(tool.definition().get().as_bytes());
        let name = tool.name().as_str();
        let mut all = digests.lock();
        if all.get(name).is_some_and(|seen| seen.last.text == text) {
            return false;
        }
        let now = Digests::of(tool.definition());
        if !all.contains_key(name) {
            if all.len() < 2 * self.config().limits.items {
                Arc::make_mut(&mut all).insert(name.into(), Seen::first(now));
            }
            return false;
        }
        let Some(seen) = Arc::make_mut(&mut all).get_mut(name) else {
            return false;
        };
        let Some(before) = seen.replace(now) else {
            return false;
        };
        drop(all);
        let (before, after) = (hex(&before.meaning), hex(&now.meaning));
        let mut change = DefinitionChange::new(&self.spec().name, name, &before, &after);
        change.restarted = restarted;
        if let Some(hook) = &self.config().on_definition_change {
            hook(&change);
        }
        true
    }
}

impl DefinitionDigests {
    /// Records that the server was restarted.
    pub(super) fn note_restart(&self) {
        self.restarted.store(true, Ordering::Relaxed);
    }
}

/// Returns `true` if two definitions are the same but for the order of what is in them.
pub(super) fn is_reordered(one: &[u8], other: &[u8]) -> bool {
    let content = |text: &[u8]| {
        let mut out = String::new();
        write(&serde_json::from_slice(text).ok()?, Order::Ignored, &mut out);
        Some(out)
    };
    one == other || content(one).is_some_and(|one| content(other) == Some(one))
}

fn digest(text: &[u8]) -> Digest {
    let mut bytes = Digest::default();
    bytes.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
    bytes
}

/// Whether the order of words and items is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Kept,
    Ignored,
}

/// Writes a value. Servers may write the members of an object in a different order each time.
fn write(value: &serde_json::Value, order: Order, out: &mut String) {
    use serde_json::Value;
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write(value, order, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            let mut texts: Vec<String> = Vec::with_capacity(items.len());
            for item in items {
                let mut text = String::new();
                write(item, order, &mut text);
                texts.push(text);
            }
            if order == Order::Ignored {
                texts.sort();
            }
            out.push('[');
            for text in texts {
                out.push_str(&text);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(text) if order == Order::Ignored => {
            let mut words = words(text);
            words.sort_unstable();
            out.push_str(&Value::from(words.join(" ")).to_string());
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// Returns the words of a text, and each of its other characters but white space.
fn words(text: &str) -> Vec<&str> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match is_word(first) {
            true => rest.find(|char| !is_word(char)).unwrap_or(rest.len()),
            false => first.len_utf8(),
        };
        if !first.is_whitespace() {
            words.push(&rest[..end]);
        }
        rest = &rest[end..];
    }
    words
}

fn hex(digest: &Digest) -> String {
    digest
        .iter()
        .fold(String::with_capacity(64), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Digests {
        Digests::of(&RawValue::from_string(text.into()).expect("JSON"))
    }

    #[test]
    fn the_order_of_members_means_nothing_and_everything_else_does() {
        let of = |text: &str| of(text).meaning;
        assert_eq!(of(r#"{"a":1,"b":[2, 3]}"#), of(r#"{ "b":[2,3],"a":1}"#));
        assert_ne!(of(r#"{"a":1,"b":[2,3]}"#), of(r#"{"a":1,"b":[3,2]}"#));
        assert_ne!(of(r#"{"a":"1"}"#), of(r#"{"a":1}"#));
    }

    #[test]
    fn content_has_no_order() {
        let of = |text: &str| of(text).content;
        assert_eq!(
            of(r#"{"a":"one of: x, y_1, z","b":[1,2]}"#),
            of(r#"{"b":[2,1],"a":"one of: z, x, y_1"}"#)
        );
        assert_eq!(of(r#"{"a":"x,y"}"#), of(r#"{"a":"y,x"}"#));
        assert_ne!(of(r#"{"a":"x, y"}"#), of(r#"{"a":"x, y!"}"#));
        assert_ne!(of(r#"{"a":"x y"}"#), of(r#"{"a":"xy"}"#));
        assert_ne!(of(r#"{"a":"x"}"#), of(r#"{"b":"x"}"#));
        assert!(is_reordered(br#"{"a":"x y"}"#, br#"{"a":"y x"}"#) && !is_reordered(b"1", b"2"));
    }
}
