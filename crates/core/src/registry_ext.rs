//! The registry as its callers see it: typed.

use async_trait::async_trait;

use crate::{
    Error, GatewayName, GatewaySpec, Install, InstallName, Key, Page, Precondition, Record, RecordKind, Registry,
    Result, ServerName, ServerSpec, TokenDigest, TokenGrant, Version, Versioned,
};

/// Typed methods over any [`Registry`]. For callers; a backend has nothing to do here.
#[async_trait]
pub trait RegistryExt: Registry {
    /// The server `name`, or [`Error::NotFound`].
    async fn server(&self, name: &ServerName) -> Result<Versioned<ServerSpec>> {
        typed(self.get(&Key::Server(name.clone())).await?).ok_or_else(|| Error::not_found("server", name))
    }

    /// The install `name`, or [`Error::NotFound`].
    async fn install(&self, name: &InstallName) -> Result<Versioned<Install>> {
        typed(self.get(&Key::Install(*name)).await?).ok_or_else(|| Error::not_found("install", name))
    }

    /// The gateway `name`, or [`Error::NotFound`].
    async fn gateway(&self, name: &GatewayName) -> Result<Versioned<GatewaySpec>> {
        typed(self.get(&Key::Gateway(name.clone())).await?).ok_or_else(|| Error::not_found("gateway", name))
    }

    /// What the token with this digest opens, where there is one.
    async fn token(&self, digest: &TokenDigest) -> Result<Option<Versioned<TokenGrant>>> {
        Ok(typed(self.get(&Key::Token(digest.clone())).await?))
    }

    /// All servers, sorted by name.
    async fn servers(&self) -> Result<Vec<Versioned<ServerSpec>>> {
        all(self, RecordKind::Server).await
    }

    /// All installs, oldest first.
    async fn installs(&self) -> Result<Vec<Versioned<Install>>> {
        all(self, RecordKind::Install).await
    }

    /// All gateways, sorted by name.
    async fn gateways(&self) -> Result<Vec<Versioned<GatewaySpec>>> {
        all(self, RecordKind::Gateway).await
    }

    /// Reads, changes and writes one record, again from the start when somebody else was faster; at most 16 times.
    ///
    /// `change` gets what is there and says what shall be there, or `None` to leave it.
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
