//! The registry of servers, installs, gateways and token grants.

use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{
    GatewayName, GatewaySpec, Install, InstallName, Owner, Precondition, Result, ServerName, ServerSpec, TokenDigest,
    TokenGrant, Version, Versioned,
};

/// The key of a record: its kind and its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Key {
    /// The key of a catalogue entry.
    Server(ServerName),
    /// The key of an install.
    Install(InstallName),
    /// The key of a gateway.
    Gateway(GatewayName),
    /// The key of a token grant: the digest of the token.
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

/// A registry record. It never holds a secret.
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
    /// The grant of a static token.
    Token(TokenGrant),
}

/// A position in the change feed. Later changes have greater revisions; `Revision(0)` is before the first change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u64);

/// The requested part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The key before the first one of the page; `None` for the first page.
    pub after: Option<Key>,
    /// The most records. A backend may give fewer, but never none while there are more.
    pub limit: usize,
}

impl Page {
    /// Requests the first page, of at most 500 records.
    ///
    /// ```
    /// assert_eq!(portolan_core::Page::first().limit, 500);
    /// ```
    pub fn first() -> Self {
        Self {
            after: None,
            limit: 500,
        }
    }

    /// Requests the page after `key`, of at most 500 records.
    ///
    /// ```
    /// use portolan_core::{Key, Page, ServerName};
    ///
    /// let page = Page::after(Key::Server(ServerName::parse("github")?));
    /// assert!(page.after.is_some());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    pub fn after(key: Key) -> Self {
        Self {
            after: Some(key),
            limit: 500,
        }
    }
}

/// An entry of the change feed: the key of a record that was written or removed. [`Registry::get`] gives its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The position in the feed.
    pub revision: Revision,
    /// The key of the record.
    pub key: Key,
}

impl Record {
    /// Returns the key of this record.
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
    /// Returns the kind of the record under this key.
    pub fn kind(&self) -> RecordKind {
        match self {
            Self::Server(_) => RecordKind::Server,
            Self::Install(_) => RecordKind::Install,
            Self::Gateway(_) => RecordKind::Gateway,
            Self::Token(_) => RecordKind::Token,
        }
    }

    /// Returns the name in this key as text, which sorts as keys of one kind do.
    pub fn name(&self) -> String {
        match self {
            Self::Server(name) => name.to_string(),
            Self::Install(name) => name.to_string(),
            Self::Gateway(name) => name.to_string(),
            Self::Token(digest) => digest.to_string(),
        }
    }

    /// Parses the text that [`Key::name`] gives, for backends that store names as text.
    ///
    /// ```
    /// use portolan_core::{Key, RecordKind};
    ///
    /// assert_eq!(Key::parse(RecordKind::Server, "github")?.name(), "github");
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`](crate::Error::Invalid) if `name` is no name of this kind.
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
    /// Returns the name of this kind in messages and in stores: `server`, `install`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Install => "install",
            Self::Gateway => "gateway",
            Self::Token => "token",
        }
    }
}

/// Stores servers, installs, gateways and token grants.
///
/// Implementors write five methods over keys and whole records, and may write two more that save reading all records.
/// Callers use the typed methods of [`RegistryExt`](crate::RegistryExt).
///
/// # Contract
///
/// - `get` after a `put` that returned sees that put or a later one.
/// - `put` checks its precondition and writes in one step: of two racing puts with the same precondition other than
///   [`Precondition::None`], exactly one succeeds and the other fails with [`Error::Conflict`](crate::Error::Conflict).
/// - Each put gives the record a version that it never had, also after it was removed and put again.
/// - A put that fails has written nothing. One whose future is dropped before it returns has written everything or
///   nothing.
/// - `remove` checks the same precondition. Removing an absent record succeeds, unless a version is asked for, which is a
///   conflict.
/// - `list` gives records of one kind in the order of their keys, beginning after `page.after`, whether or not there is a
///   record under that key; at most `limit`, and an empty page only at the end. `limit` 0 is invalid.
/// - `installs_of` gives what a `list` of all installs would give, filtered by server and owner.
/// - `revision` gives a position that no later change precedes: who reads a record after it and follows the feed from it
///   misses nothing.
/// - `changes` yields every change after `since`, in order, and then those to come; a change is in it when the `put` or
///   `remove` that made it has returned. It may leave out a change to a key that changed again later, and never leaves out
///   the last one. Removing an absent record is no change.
/// - A registry may forget removals beyond a documented bound. A reader whose `since` is not 0 and older than a forgotten
///   removal gets [`Error::Conflict`](crate::Error::Conflict) as the first item; it opens the feed again at `Revision(0)`
///   and then lists all records.
/// - Records come back as they were put, byte for byte where they hold raw JSON.
///
/// ```
/// use portolan_core::{Precondition, Registry, RegistryExt, ServerSpec, memory::MemoryRegistry};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let (registry, server) = (MemoryRegistry::new(), ServerSpec::remote("docs", "https://docs.example.com/mcp")?);
/// let name = server.name.clone();
/// let version = registry.put(server.into(), Precondition::Absent).await?;
/// assert_eq!(registry.server(&name).await?.version, version);
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a record");
/// ```
#[async_trait]
pub trait Registry: Debug + Send + Sync {
    /// Returns the record under `key`.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn get(&self, key: &Key) -> Result<Option<Versioned<Record>>>;

    /// Writes `record` under its key and returns its new version.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`](crate::Error::Conflict) if the precondition does not hold.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn put(&self, record: Record, when: Precondition) -> Result<Version>;

    /// Removes the record under `key`.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`](crate::Error::Conflict) if the precondition does not hold.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn remove(&self, key: &Key, when: Precondition) -> Result<()>;

    /// Returns a page of the records of one kind, in the order of their keys.
    ///
    /// # Errors
    ///
    /// - [`Error::Invalid`](crate::Error::Invalid) for the limit 0.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn list(&self, kind: RecordKind, page: Page) -> Result<Vec<Versioned<Record>>>;

    /// Returns a page of the installs of `server`, of one owner or of all, in the order of their names.
    ///
    /// The default reads all installs. A backend with an index overrides it: whoever installs looks for an earlier install
    /// by server and owner.
    ///
    /// # Errors
    ///
    /// Those of [`list`](Self::list).
    async fn installs_of(
        &self,
        server: &ServerName,
        owner: Option<&Owner>,
        page: Page,
    ) -> Result<Vec<Versioned<Install>>> {
        let mut found = Vec::new();
        let (limit, mut page) = (page.limit, page);
        loop {
            let records = self.list(RecordKind::Install, page).await?;
            let Some(last) = records.last() else {
                return Ok(found);
            };
            page = Page::after(last.value.key());
            for record in records {
                if let Record::Install(install) = record.value
                    && install.server == *server
                    && owner.is_none_or(|owner| install.owner == *owner)
                {
                    let (value, version) = (install, record.version);
                    found.push(Versioned { value, version });
                }
                if found.len() == limit {
                    return Ok(found);
                }
            }
        }
    }

    /// Returns a position in the feed at or after each change whose `put` or `remove` has returned, and before each that
    /// begins after this returns; or an earlier position.
    ///
    /// The default is the position before all changes, from which the whole feed is read.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    async fn revision(&self) -> Result<Revision> {
        Ok(Revision::default())
    }

    /// Returns a stream of the changes after `since` and of those to come. It ends with the registry, or with an error,
    /// after which the reader opens it again from the last revision that it has seen.
    ///
    /// # Errors
    ///
    /// The last item of the stream is
    ///
    /// - [`Error::Conflict`](crate::Error::Conflict) if a removal is forgotten that the reader has not seen.
    /// - [`Error::Unavailable`](crate::Error::Unavailable) or [`Error::Backend`](crate::Error::Backend) of the store.
    fn changes(&self, since: Revision) -> BoxStream<'static, Result<Change>>;
}
