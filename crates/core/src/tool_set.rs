//! Lists of tools that installs share by content.

use std::{
    collections::HashMap,
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak},
};

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Tool;

/// The tools of an install, in the order of its server: immutable, cheap to clone, and named by their content.
///
/// Definitions are large, and installs of one server mostly have the same ones. Clones share them; a store can keep each set
/// once under its [`digest`](Self::digest). It serialises as the list of its definitions.
///
/// ```
/// use portolan_core::{Tool, ToolSet};
/// use serde_json::value::RawValue;
///
/// let definition = RawValue::from_string(r#"{"name":"now"}"#.into()).expect("JSON");
/// let tools = ToolSet::from(vec![Tool::parse(definition)?]);
/// assert_eq!((tools.len(), tools[0].name().as_str()), (1, "now"));
/// assert_eq!(tools.json(), r#"[{"name":"now"}]"#);
/// assert_eq!(tools.digest(), tools.clone().digest());
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Clone)]
pub struct ToolSet(Arc<Inner>);

struct Inner {
    tools: Box<[Tool]>,
    digest: OnceLock<ToolSetDigest>,
}

/// The SHA-256 of a [`ToolSet`] as JSON. Displays as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolSetDigest([u8; 32]);

/// A reference to a [`ToolSet`] that does not keep it in memory, for maps by content.
#[derive(Clone, Debug)]
pub struct WeakToolSet(Weak<Inner>);

/// The tool sets in memory by content, so that a store gives equal ones as one. It keeps none itself.
///
/// ```
/// use portolan_core::{ToolSet, ToolSetCache};
///
/// let (cache, tools) = (ToolSetCache::default(), ToolSet::default());
/// assert!(cache.intern(tools.clone()).is_shared_with(&tools));
/// assert!(cache.get(&tools.digest()).is_some());
/// # Ok::<(), portolan_core::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ToolSetCache(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_digest: HashMap<ToolSetDigest, WeakToolSet>,
    /// The size at which those that are gone are removed.
    sweep_at: usize,
}

impl ToolSetCache {
    /// Returns the set of this content that is in memory, if there is one.
    pub fn get(&self, digest: &ToolSetDigest) -> Option<ToolSet> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_digest.get(digest)?.upgrade()
    }

    /// Returns the set of this content that was in memory before, else `tools`.
    pub fn intern(&self, tools: ToolSet) -> ToolSet {
        let digest = tools.digest();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.by_digest.get(&digest).and_then(WeakToolSet::upgrade) {
            return before;
        }
        if known.by_digest.len() >= known.sweep_at {
            known.by_digest.retain(|_, tools| tools.0.strong_count() > 0);
            known.sweep_at = 64.max(2 * known.by_digest.len());
        }
        known.by_digest.insert(digest, tools.downgrade());
        tools
    }
}

impl ToolSet {
    /// Returns the digest of the content, computed once.
    pub fn digest(&self) -> ToolSetDigest {
        *self.0.digest.get_or_init(|| {
            let mut context = digest::Context::new(&digest::SHA256);
            self.write(|part| context.update(part.as_bytes()));
            let mut bytes = [0; 32];
            bytes.copy_from_slice(context.finish().as_ref());
            ToolSetDigest(bytes)
        })
    }

    /// Returns the definitions as a JSON array, each byte for byte.
    pub fn json(&self) -> String {
        let mut text = String::with_capacity(self.json_len());
        self.write(|part| text.push_str(part));
        text
    }

    /// Returns the length of [`json`](Self::json), in bytes.
    pub fn json_len(&self) -> usize {
        let mut len = 0;
        self.write(|part| len += part.len());
        len
    }

    /// Returns `true` if both are one list in memory. Equal lists need not be.
    pub fn is_shared_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns a reference that does not keep the set in memory.
    pub fn downgrade(&self) -> WeakToolSet {
        WeakToolSet(Arc::downgrade(&self.0))
    }

    /// Hands the JSON array to `part`, in parts.
    fn write(&self, mut part: impl FnMut(&str)) {
        part("[");
        for (at, tool) in self.0.tools.iter().enumerate() {
            if at > 0 {
                part(",");
            }
            part(tool.definition().get());
        }
        part("]");
    }
}

impl WeakToolSet {
    /// Returns the set, if it is still in memory.
    pub fn upgrade(&self) -> Option<ToolSet> {
        self.0.upgrade().map(ToolSet)
    }
}

impl ToolSetDigest {
    /// Creates the digest of these bytes, as a store kept them.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ToolSetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ToolSetDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ToolSetDigest({self})")
    }
}

impl Default for ToolSet {
    fn default() -> Self {
        static EMPTY: LazyLock<ToolSet> = LazyLock::new(|| ToolSet::of([].into()));
        EMPTY.clone()
    }
}

impl ToolSet {
    fn of(tools: Box<[Tool]>) -> Self {
        let digest = OnceLock::new();
        Self(Arc::new(Inner { tools, digest }))
    }
}

impl From<Vec<Tool>> for ToolSet {
    fn from(tools: Vec<Tool>) -> Self {
        if tools.is_empty() {
            return Self::default();
        }
        Self::of(tools.into())
    }
}

impl FromIterator<Tool> for ToolSet {
    fn from_iter<I: IntoIterator<Item = Tool>>(tools: I) -> Self {
        Vec::from_iter(tools).into()
    }
}

impl<'a> IntoIterator for &'a ToolSet {
    type Item = &'a Tool;
    type IntoIter = std::slice::Iter<'a, Tool>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Deref for ToolSet {
    type Target = [Tool];

    fn deref(&self) -> &[Tool] {
        &self.0.tools
    }
}

impl PartialEq for ToolSet {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || **self == **other
    }
}

impl fmt::Debug for ToolSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for ToolSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for ToolSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Tool>::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn tools(definitions: &[&str]) -> ToolSet {
        let parse = |text: &&str| Tool::parse(RawValue::from_string((*text).into()).expect("JSON")).expect("a tool");
        definitions.iter().map(parse).collect()
    }

    #[test]
    fn digest_names_the_content() {
        let (one, same) = (tools(&[r#"{"name":"a"}"#]), tools(&[r#"{"name":"a"}"#]));
        assert!(one == same && one.digest() == same.digest() && !one.is_shared_with(&same));
        for other in [&[r#"{"name":"b"}"#][..], &[r#"{ "name":"a"}"#], &[]] {
            assert!(
                one != tools(other) && one.digest() != tools(other).digest(),
                "{other:?}"
            );
        }
        let empty = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";
        assert_eq!(ToolSet::default().digest().to_string(), empty, "the SHA-256 of []");
    }

    #[test]
    fn json_is_byte_exact() {
        let text = r#"[{"name":"a","n":1.50e3},{ "x":"\/","name":"b" }]"#;
        let read: ToolSet = serde_json::from_str(text).expect("tools");
        assert_eq!((read.json(), read.json_len()), (text.to_owned(), text.len()));
        assert_eq!(serde_json::to_string(&read).expect("JSON"), text);
    }

    #[test]
    fn cache_shares_by_content() {
        let (cache, first) = (ToolSetCache::default(), tools(&[r#"{"name":"a"}"#]));
        assert!(cache.intern(first.clone()).is_shared_with(&first));
        assert!(cache.intern(tools(&[r#"{"name":"a"}"#])).is_shared_with(&first));
        let digest = first.digest();
        drop(first);
        assert!(cache.get(&digest).is_none());
        for number in 0..1_000 {
            cache.intern(tools(&[&format!(r#"{{"name":"t{number}"}}"#)]));
        }
        assert!(
            cache.0.lock().expect("no panic").by_digest.len() <= 64,
            "those that are gone are removed"
        );
    }

    #[test]
    fn weak_reference_keeps_nothing() {
        let set = tools(&[r#"{"name":"a"}"#]);
        let weak = set.downgrade();
        assert!(weak.upgrade().expect("is there").is_shared_with(&set));
        drop(set);
        assert!(weak.upgrade().is_none());
    }
}
