//! The Secret of a credential: its name, its labels, its contents, and its version.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac, rand};
use k8s_openapi::{ByteString, api::core::v1::Secret as KubeSecret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use portolan_core::{CredentialKey, Error, Result, Secret, Version};

use crate::{annotations, name};

/// The annotation with the key.
const KEY: &str = "portolan.dev/credential-key";
/// The labels with digests of the first part of a key, and of its first two: they narrow a list by prefix.
const PARENTS: [&str; 2] = ["portolan.dev/credential-in-1", "portolan.dev/credential-in-2"];
/// The value of [`name::KIND`].
const KIND: &str = "credential";
/// The type of the Secrets.
const TYPE: &str = "portolan.dev/credential";

/// The entry with the text.
const VALUE: &str = "value";
/// The entry with the nonces of the last writes, newest first, one a line.
const WRITES: &str = "writes";
/// How many nonces are kept.
const MAX_WRITES: usize = 8;

/// The most bytes of a secret: a Kubernetes Secret holds 1 MiB, of which the nonces need some.
pub(super) const MAX_VALUE: usize = (1 << 20) - 1024;

/// The names of the objects of one store.
#[derive(Debug)]
pub(super) struct Names {
    store: String,
}

impl Names {
    pub(super) fn new(store: String) -> Self {
        Self { store }
    }

    /// Returns the name of the Secret and of the Lease of a key. A name holds no upper case and 253 characters, a key may; so
    /// the name is a digest.
    pub(super) fn object(&self, key: &CredentialKey) -> String {
        let text = format!("{}\0{key}", self.store);
        format!("portolan-credential-{}", sha256(&text))
    }

    /// Returns the label selector of all keys that may begin with `prefix`: it selects by whole parts.
    pub(super) fn selector(&self, prefix: &str) -> String {
        let own = format!("{}={},{}={KIND}", name::MANAGED_BY, self.store, name::KIND);
        match parents(prefix).last() {
            Some((label, digest)) => format!("{own},{label}={digest}"),
            None => own,
        }
    }

    /// Returns the metadata of a new object of `key`.
    pub(super) fn metadata(&self, key: &CredentialKey) -> ObjectMeta {
        let mut meta = ObjectMeta {
            name: Some(self.object(key)),
            annotations: Some(BTreeMap::from([(KEY.to_owned(), key.to_string())])),
            ..ObjectMeta::default()
        };
        self.set_labels(&mut meta, key);
        meta
    }

    fn set_labels(&self, meta: &mut ObjectMeta, key: &CredentialKey) {
        let labels = meta.labels.get_or_insert_default();
        labels.insert(name::MANAGED_BY.into(), self.store.clone());
        labels.insert(name::KIND.into(), KIND.into());
        labels.extend(parents(key.as_str()).map(|(label, digest)| (label.to_owned(), digest)));
    }

    /// Returns the key of an object of this store; `None` for a foreign one, and for a copy under another name.
    pub(super) fn key_of(&self, meta: &ObjectMeta) -> Option<CredentialKey> {
        let labels = meta.labels.as_ref()?;
        let is_ours = labels.get(name::MANAGED_BY) == Some(&self.store)
            && labels.get(name::KIND).is_some_and(|kind| kind == KIND);
        let key = annotations::annotation(meta, KEY).filter(|_| is_ours)?;
        let key = CredentialKey::parse(key).ok()?;
        (meta.name.as_ref() == Some(&self.object(&key))).then_some(key)
    }

    /// Returns whether an object is the one of `key`.
    pub(super) fn owns(&self, meta: &ObjectMeta, key: &CredentialKey) -> bool {
        self.key_of(meta).as_ref() == Some(key)
    }
}

/// Returns the labels of the parents of a key, or of a prefix, outermost first.
fn parents(path: &str) -> impl Iterator<Item = (&'static str, String)> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    // A label holds 63 characters; an equal half of a digest only lists too much.
    let digest = |end: usize| sha256(&path[..end]).split_at(40).0.to_owned();
    PARENTS.into_iter().zip(ends.map(digest))
}

fn sha256(text: &str) -> String {
    name::hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

/// Creates a random text that no other write has.
///
/// # Errors
///
/// [`Error::Backend`] if the system gives no random bytes.
pub(super) fn nonce() -> Result<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes)
        .map_err(|_| Error::backend("Kubernetes", "prepare a write", "the system gives no random bytes"))?;
    Ok(name::hex(&bytes))
}

/// Returns the version of `value` as the write `nonce` stored it.
///
/// It is not the resource version: that one stays when nothing changes, changes with labels that others add, and comes again
/// when the cluster is restored from a backup. The nonce makes each write differ, also after a removal. The value is part of it,
/// so that an edit by hand is another version. It is in a MAC whose key only readers of the Secret see, because versions may
/// be logged.
pub(super) fn version(nonce: &str, value: &[u8]) -> Version {
    let key = hmac::Key::new(hmac::HMAC_SHA256, nonce.as_bytes());
    let tag = hmac::sign(&key, value);
    let number = tag
        .as_ref()
        .iter()
        .take(8)
        .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    // 63 bits fit into the integers of all databases and languages.
    Version(std::num::NonZeroU64::new(number >> 1).unwrap_or(std::num::NonZeroU64::MIN))
}

/// The Secret of a credential, as it was read. It has no `Debug`, which would show the text.
pub(super) struct Stored(KubeSecret);

impl Stored {
    pub(super) fn new(object: KubeSecret) -> Self {
        Self(object)
    }

    /// Returns the nonces of the last writes, newest first; none if somebody else removed them.
    pub(super) fn writes(&self) -> impl Iterator<Item = &str> {
        let text = self.entry(WRITES).and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.unwrap_or_default().lines().take(MAX_WRITES)
    }

    /// Returns the nonce of the last write; empty if somebody else removed it.
    pub(super) fn last_write(&self) -> &str {
        self.writes().next().unwrap_or_default()
    }

    /// Returns the version; without a value, that of an empty one.
    pub(super) fn version(&self) -> Version {
        version(self.last_write(), self.entry(VALUE).unwrap_or_default())
    }

    /// Returns the text; `None` if somebody else removed it, or wrote one that is not UTF-8.
    pub(super) fn value(&self) -> Option<Secret> {
        let text = std::str::from_utf8(self.entry(VALUE)?).ok()?;
        Some(Secret::new(text))
    }

    pub(super) fn resource_version(&self) -> Option<&String> {
        self.0.metadata.resource_version.as_ref()
    }

    pub(super) fn uid(&self) -> Option<&String> {
        self.0.metadata.uid.as_ref()
    }

    fn entry(&self, name: &str) -> Option<&[u8]> {
        Some(&self.0.data.as_ref()?.get(name)?.0)
    }
}

/// Returns the Secret with `value`, as the write `nonce` stores it over `base`. Labels and annotations of others stay.
pub(super) fn with_value(
    names: &Names,
    key: &CredentialKey,
    base: Option<&Stored>,
    nonce: &str,
    value: &Secret,
) -> KubeSecret {
    let mut metadata = base.map_or_else(|| names.metadata(key), |base| base.0.metadata.clone());
    metadata.managed_fields = None;
    names.set_labels(&mut metadata, key);
    let earlier = base.into_iter().flat_map(Stored::writes);
    let writes: Vec<_> = std::iter::once(nonce).chain(earlier).take(MAX_WRITES).collect();
    let entry = |name: &str, text: &str| (name.to_owned(), ByteString(text.as_bytes().to_vec()));
    KubeSecret {
        metadata,
        // The type of an object cannot change; one that others made may have another.
        type_: base.map_or_else(|| Some(TYPE.into()), |base| base.0.type_.clone()),
        data: Some([entry(VALUE, value.reveal()), entry(WRITES, &writes.join("\n"))].into()),
        ..KubeSecret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> CredentialKey {
        CredentialKey::parse(text).expect("a key")
    }

    #[test]
    fn names_fit_and_differ() {
        let (names, other) = (Names::new("a".into()), Names::new("b".into()));
        let long = key(&"X".repeat(400));
        assert!(names.object(&long).len() <= 253);
        assert_ne!(names.object(&key("a")), names.object(&key("A")));
        assert_ne!(names.object(&long), other.object(&long));
    }

    #[test]
    fn prefix_selects_by_whole_parts() {
        let names = Names::new("s".into());
        let labels = |text| names.metadata(&key(text)).labels.expect("labels");
        let selects = |prefix: &str, text| {
            let found = labels(text);
            names.selector(prefix).split(',').all(|term| {
                let (label, value) = term.split_once('=').expect("an equation");
                found.get(label).is_some_and(|found| found == value)
            })
        };
        assert!(selects("", "a") && selects("a", "ab/c") && selects("a/b", "a/bc"));
        assert!(selects("a/", "a/b") && selects("a/b/", "a/b/c/d") && selects("a/b/c/", "a/b/c/d"));
        assert!(!selects("a/", "ab/c") && !selects("a/b/", "a/bc/d") && !selects("a/b/", "a/b"));
    }

    #[test]
    fn labels_alone_are_not_enough() {
        let names = Names::new("s".into());
        let mut meta = names.metadata(&key("a"));
        assert_eq!(names.key_of(&meta), Some(key("a")));
        assert_eq!(Names::new("other".into()).key_of(&meta), None);
        meta.name = Some("a-copy".into());
        assert_eq!(names.key_of(&meta), None);
    }

    #[test]
    fn version_changes_with_write_and_value() {
        let first = version("1", b"a");
        assert_eq!(first, version("1", b"a"));
        assert_ne!(first, version("2", b"a"));
        assert_ne!(first, version("1", b"b"));
        assert!(first.0.get() <= i64::MAX.unsigned_abs());
    }

    #[test]
    fn writes_are_bounded() {
        let (names, key) = (Names::new("s".into()), key("a"));
        let mut stored = None;
        for number in 0..20 {
            let nonce = format!("nonce-{number}");
            let object = with_value(&names, &key, stored.as_ref(), &nonce, &Secret::new("x"));
            stored = Some(Stored::new(object));
        }
        let stored = stored.expect("written");
        assert_eq!(stored.writes().count(), MAX_WRITES);
        assert_eq!(stored.last_write(), "nonce-19");
        assert_eq!(stored.value(), Some(Secret::new("x")));
    }
}
