//! The registry: what is approved, installed and published.

use std::{fmt::Debug, num::NonZeroU64};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{GatewayName, GatewaySpec, Install, InstallName, Result, ServerName, ServerSpec, TokenDigest, TokenGrant};

/// Where a record stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Key {
    /// A catalogue entry.
    Server(ServerName),
    /// An install.
    Install(InstallName),
    /// A gateway.
    Gateway(GatewayName),
    /// A static token, by its digest.
    Token(TokenDigest),
}

/// The kinds of record, in the order in which keys sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordKind {
    /// Catalogue entries.
    Server,
    /// Installs.
    Install,
    /// Gateways.
    Gateway,
    /// Static tokens.
    Token,
}

/// What a registry keeps. Never a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(
    clippy::large_enum_variant,
    reason = "records live in lists for a moment; a box would be in every caller's way"
)]
pub enum Record {
    /// A catalogue entry.
    Server(ServerSpec),
    /// An install.
    Install(Install),
    /// A gateway.
    Gateway(GatewaySpec),
    /// What a static token opens.
    Token(TokenGrant),
}

/// A record with the version that it has now.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// What is kept.
    pub value: T,
    /// Its version.
    pub version: Version,
}

/// The version of a record or secret: another one after each change. Only equality means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub NonZeroU64);

/// A place in the change feed. Later changes have greater ones; `Revision(0)` stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// What must be true for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: last one wins.
    None,
    /// There is nothing under this key.
    Absent,
    /// What is there has this version.
    Version(Version),
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Keys after this one.
    pub after: Option<Key>,
    /// This many at the most; a backend may give fewer, but never none while there are more.
    pub limit: usize,
}

impl Page {
    /// The first page, of at most 500.
    pub fn first() -> Self {
        Self {
            after: None,
            limit: 500,
        }
    }

    /// The page after `key`, of at most 500.
    pub fn after(key: Key) -> Self {
        Self {
            after: Some(key),
            limit: 500,
        }
    }
}

/// That something changed. What it is now is for `get` to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its place in the feed.
    pub revision: Revision,
    /// What changed: put or removed.
    pub key: Key,
}

impl Record {
    /// Where this record stands.
    pub fn key(&self) -> Key {
        match self {
            Self::Server(server) => Key::Server(server.name.clone()),
            Self::Install(install) => Key::Install(install.name),
            Self::Gateway(gateway) => Key::Gateway(gateway.name.clone()),
            Self::Token(token) => Key::Token(token.digest.clone()),
        }
    }
}

impl Key {
    /// The kind of record under this key.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Server(_) => RecordKind::Server,
            Self::Install(_) => RecordKind::Install,
            Self::Gateway(_) => RecordKind::Gateway,
            Self::Token(_) => RecordKind::Token,
        }
    }

    /// The name of the thing under this key, as text that sorts as keys of one kind do.
    pub fn name(&self) -> String {
        match self {
            Self::Server(name) => name.to_string(),
            Self::Install(name) => name.to_string(),
            Self::Gateway(name) => name.to_string(),
            Self::Token(digest) => digest.to_string(),
        }
    }

    /// Reads what [`Key::name`] wrote, for backends that keep names as text.
    pub fn parse(kind: RecordKind, name: &str) -> Result<Self> {
        Ok(match kind {
            RecordKind::Server => Self::Server(ServerName::parse(name)?),
            RecordKind::Install => Self::Install(InstallName::parse(name)?),
            RecordKind::Gateway => Self::Gateway(GatewayName::parse(name)?),
            RecordKind::Token => Self::Token(TokenDigest::parse(name)?),
        })
    }
}

impl RecordKind {
    /// What a record of this kind is called in messages, and in stores.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Install => "install",
            Self::Gateway => "gateway",
            Self::Token => "token",
        }
    }
}

/// Keeps servers, installs, gateways and token grants.
///
/// For implementors: five methods over keys and whole records. Callers use the typed methods of
/// [`RegistryExt`](crate::RegistryExt).
///
/// # Contract
///
/// - `get` after a `put` that returned sees that put or a later one.
/// - `put` checks its precondition and writes in one step: of two racing puts with the same precondition other than
///   [`Precondition::None`], exactly one succeeds and the other fails with [`Error::Conflict`](crate::Error::Conflict).
/// - Each put gives the record another version than it ever had, also after it was removed and put again.
/// - A put that fails has written nothing, and neither has one whose future was dropped before it returned `Ok`,
///   or else it has written everything.
/// - `remove` follows the same precondition; removing what is not there succeeds unless a version is asked for, which is
///   a conflict.
/// - `list` gives records of one kind in the order of their keys, beginning after `page.after`, whether or not a record
///   stands under that key; at most `limit`, and an empty page only at the end. `limit` 0 is refused as invalid.
/// - `changes` begins with every change after `since`, in order, and goes on with those to come; a change is in it when
///   the `put` or `remove` that made it has returned. It may leave out a change to a key that changed again later, and
///   never leaves out the last one. A removal of what was not there is no change.
/// - A registry may forget removals beyond a documented bound. A reader whose `since` is older than one that was
///   forgotten, and not 0, gets [`Error::Conflict`](crate::Error::Conflict) as the first item; it opens the feed at
///   `Revision(0)` and then lists what there is.
/// - Records come back as they were put, byte for byte where they hold raw JSON.
#[async_trait]
pub trait Registry: Debug + Send + Sync {
    /// The record under `key`.
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>>;

    /// Writes `record` under its key and gives its new version.
    async fn put(&self, record: Record, when: Precondition) -> Result<Version>;

    /// Removes what stands under `key`.
    async fn remove(&self, key: &Key, when: Precondition) -> Result<()>;

    /// Records of one kind, in the order of their keys.
    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>>;

    /// Changes after `since`, and those to come. The stream ends when the registry does, or with an error, after which
    /// it is opened again from the last revision seen.
    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>>;
}
