//! Typed methods over a registry.

use async_trait::async_trait;

use crate::{
    Error, GatewayName, GatewaySpec, Install, InstallName, Key, Page, Precondition, Record, RecordKind, Registry,
    Result, ServerName, ServerSpec, TokenDigest, TokenGrant, Version, Versioned,
};

/// Typed methods over any [`Registry`]. Backends do not implement it.
///
/// ```
/// use portolan_core::{Key, Precondition, Registry, RegistryExt, ServerSpec, memory::MemoryRegistry};
///
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let registry = MemoryRegistry::new();
/// let server = ServerSpec::remote("docs", "https://docs.example.com/mcp")?;
/// registry.put(server.clone().into(), Precondition::Absent).await?;
/// let change = |server: Option<ServerSpec>| {
///     Ok(server.map(|mut server| {
///         server.title = Some("Documentation".into());
///         server
///     }))
/// };
/// registry.update(&Key::Server(server.name), change).await?;
/// assert_eq!(registry.servers().await?[0].value.title.as_deref(), Some("Documentation"));
/// # Ok::<(), portolan_core::Error>(())
/// # }).expect("a server");
/// ```
#[async_trait]
pub trait RegistryExt: Registry {
    /// Returns the server `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] if there is none.
    /// - [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn server(&self, name: &ServerName) -> Result<Versioned<ServerSpec>> {
        typed(self.get(&Key::Server(name.clone())).await?).ok_or_else(|| Error::not_found("server", name))
    }

    /// Returns the install `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] if there is none.
    /// - [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn install(&self, name: &InstallName) -> Result<Versioned<Install>> {
        typed(self.get(&Key::Install(*name)).await?).ok_or_else(|| Error::not_found("install", name))
    }

    /// Returns the gateway `name`.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] if there is none.
    /// - [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn gateway(&self, name: &GatewayName) -> Result<Versioned<GatewaySpec>> {
        typed(self.get(&Key::Gateway(name.clone())).await?).ok_or_else(|| Error::not_found("gateway", name))
    }

    /// Returns the grant of the token with this digest, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn token(&self, digest: &TokenDigest) -> Result<Option<Versioned<TokenGrant>>> {
        Ok(typed(self.get(&Key::Token(digest.clone())).await?))
    }

    /// Returns all servers, sorted by name.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn servers(&self) -> Result<Vec<Versioned<ServerSpec>>> {
        all(self, RecordKind::Server).await
    }

    /// Returns all installs, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn installs(&self) -> Result<Vec<Versioned<Install>>> {
        all(self, RecordKind::Install).await
    }

    /// Returns all gateways, sorted by name.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn gateways(&self) -> Result<Vec<Versioned<GatewaySpec>>> {
        all(self, RecordKind::Gateway).await
    }

    /// Reads, changes and writes one record, and starts again if it changed in between; at most 16 times. Returns the new
    /// version, or `None` if nothing was written.
    ///
    /// `change` gets the record, if there is one, and returns its new state, or `None` to leave it.
    ///
    /// # Errors
    ///
    /// - [`Error::Conflict`] if it changed each time.
    /// - Any error of `change`.
    /// - [`Error::Unavailable`] or [`Error::Backend`] of the registry.
    async fn update<T, F>(&self, key: &Key, mut change: F) -> Result<Option<Version>>
    where
        T: TryFrom<Record> + Into<Record> + Send,
        F: FnMut(Option<T>) -> Result<Option<T>> + Send,
    {
        for _ in 0..16 {
            let (old, when) = match self.get(key).await? {
                Some(found) => {
                    let version = found.version;
                    (T::try_from(found.value).ok(), Precondition::Version(version))
                }
                None => (None, Precondition::Absent),
            };
            let Some(new) = change(old)? else {
                return Ok(None);
            };
            match self.put(new.into(), when).await {
                Err(Error::Conflict { .. }) => {}
                done => return done.map(Some),
            }
        }
        Err(Error::conflict(key.kind().as_str(), key.name()))
    }
}

impl<R: Registry + ?Sized> RegistryExt for R {}

fn typed<T: TryFrom<Record>>(found: Option<Versioned<Record>>) -> Option<Versioned<T>> {
    let Versioned { value, version } = found?;
    let value = T::try_from(value).ok()?;
    Some(Versioned { value, version })
}

async fn all<R: Registry + ?Sized, T: TryFrom<Record>>(registry: &R, kind: RecordKind) -> Result<Vec<Versioned<T>>> {
    let mut found = Vec::new();
    let mut page = Page::first();
    loop {
        let records = registry.list(kind, page).await?;
        let Some(last) = records.last() else {
            return Ok(found);
        };
        page = Page::after(last.value.key());
        found.extend(records.into_iter().filter_map(|record| typed(Some(record))));
    }
}

macro_rules! record {
    ($($variant:ident($type:ty)),*) => {$(
        impl From<$type> for Record {
            fn from(value: $type) -> Self {
                Self::$variant(value)
            }
        }

        impl TryFrom<Record> for $type {
            type Error = Record;
            fn try_from(record: Record) -> Result<Self, Record> {
                match record {
                    Record::$variant(value) => Ok(value),
                    other => Err(other),
                }
            }
        }
    )*};
}
record!(
    Server(ServerSpec),
    Install(Install),
    Gateway(GatewaySpec),
    Token(TokenGrant)
);
