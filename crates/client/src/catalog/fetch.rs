//! Fetches lists: one request at a time, all pages, within a deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome,
    error::{ErrorObject, METHOD_NOT_FOUND},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use serde_json::value::RawValue;

use super::{
    CacheHints, Catalog, ListSnapshot, Listing, ServerLists,
    cached::Breaker,
    sealed::{Lists, Source},
};
use crate::{
    capabilities::ClientCapabilities,
    collect,
    request::{Requester, UpstreamRequest},
    server_notifications::ServerNotification,
};

/// The number of pages that are read of one list.
const PAGES: usize = 1000;
/// How long a server that hung last time is waited for.
const SECOND_CHANCE: Duration = Duration::from_secs(1);

/// All items that a server listed.
#[derive(Debug, Default)]
pub(crate) struct Items {
    pub(crate) items: Vec<Box<RawValue>>,
    pub(crate) hints: CacheHints,
}

impl ServerLists {
    /// Fetches a list that is not cached.
    pub(crate) async fn first<L: Listing>(
        self: &Arc<Self>,
        catalog: &Arc<Catalog>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<ListSnapshot<L>>> {
        let cached = super::cached::<L>(catalog);
        match cached.breaker() {
            Breaker::Closed => self.fresh(catalog, credential).await,
            Breaker::Open(error) => Err(error),
            Breaker::HalfOpen(error) => {
                match tokio::time::timeout(SECOND_CHANCE, self.fresh(catalog, credential)).await {
                    Ok(fetched) => fetched,
                    Err(_) => Err(error),
                }
            }
        }
    }

    /// Fetches a list. Callers that wait at the same time share the result.
    pub(crate) async fn fresh<L: Listing>(
        self: &Arc<Self>,
        catalog: &Arc<Catalog>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<ListSnapshot<L>>> {
        // The task goes on when nobody waits, so that later callers find the list.
        let (server, catalog, credential) = (self.clone(), catalog.clone(), credential.clone());
        let since = Instant::now();
        let asking = async move { server.take_turn::<L>(&catalog, &credential, since).await };
        // No background work that a drain waits for: after it nobody wants the list.
        let ended = self.connection.client().ended().clone();
        let asked = tokio::spawn(ended.run_until_cancelled_owned(asking)).await;
        asked.ok().flatten().unwrap_or_else(|| {
            Err(self
                .connection
                .protocol_error(format!("fetching its list of {} was aborted", L::MEMBER)))
        })
    }

    /// Fetches a list in the background, unless it is being fetched.
    pub(crate) fn refresh<L: Listing>(self: &Arc<Self>, catalog: &Arc<Catalog>, credential: &Arc<UpstreamCredential>) {
        if super::cached::<L>(catalog).turn.try_lock().is_err() {
            return;
        }
        let (server, catalog, credential) = (self.clone(), catalog.clone(), credential.clone());
        let since = Instant::now();
        let ended = self.connection.client().ended().clone();
        tokio::spawn(ended.run_until_cancelled_owned(async move {
            if let Err(error) = server.take_turn::<L>(&catalog, &credential, since).await {
                tracing::warn!(server = %server.spec().name, list = L::MEMBER, %error,
                    "list refresh failed");
            }
        }));
    }

    /// Fetches a list, unless that was done since. Waiting for another fetch counts towards the deadline: behind a server
    /// that hangs, no caller waits longer for those before.
    async fn take_turn<L: Listing>(
        &self,
        catalog: &Catalog,
        credential: &Arc<UpstreamCredential>,
        since: Instant,
    ) -> Result<Arc<ListSnapshot<L>>> {
        let cached = super::cached::<L>(catalog);
        let after = self.config().timeouts.list;
        let late = || Error::Timeout {
            action: format!("the list of {} of server {:?}", L::MEMBER, self.spec().name.as_str()),
            after,
        };
        let deadline = tokio::time::Instant::now() + after;
        let Ok(_turn) = tokio::time::timeout_at(deadline, cached.turn.lock()).await else {
            return Err(late());
        };
        if let Some(listed) = cached.listed.load_full()
            && listed.fetched >= since
            && !cached.is_stale(&listed)
        {
            return Ok(listed);
        }
        if let Some(error) = cached.failed_since(since) {
            return Err(error);
        }
        self.look_at_channel().await;
        let begun = Instant::now();
        let change = cached.change();
        let fetched = tokio::time::timeout_at(deadline, self.fetch::<L>(credential)).await;
        match fetched.unwrap_or_else(|_| Err(late())) {
            Ok(fetched) => {
                let items = L::read(&Source(self), &Lists(catalog), fetched.items);
                // Listeners know already of changes that the server announced.
                let told = |known: &ListSnapshot<L>| known.change.announced != change.announced;
                let known = cached.listed.load_full();
                let is_news = match known {
                    Some(known) => !told(&known) && !known.items.is_same(&items),
                    // Who listed while it could not be fetched has a list without it.
                    None => cached.has_failed(),
                };
                let listed = cached.store(items, fetched.hints, change);
                if is_news {
                    self.sink.tell(&ServerNotification::List(L::KIND));
                }
                Ok(listed)
            }
            Err(error) => {
                cached.fail(begun, &error);
                Err(error)
            }
        }
    }

    pub(super) async fn fetch<L: Listing>(&self, credential: &Arc<UpstreamCredential>) -> Result<Items> {
        if let Some(capability) = L::CAPABILITY {
            self.connection.introduce(credential).await?;
            if self.connection.info().is_some_and(|info| !info.offers(capability)) {
                return Ok(Items::default());
            }
        }
        self.items(&L::METHOD, L::MEMBER, credential).await
    }

    /// Reads all pages of a list. A server that does not know the method has an empty list.
    pub(crate) async fn items(
        &self,
        method: &Method,
        member: &str,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Items> {
        let most = self.config().limits.items;
        let mut all = Items::default();
        let mut cursor = None;
        for number in 0..PAGES {
            let Some(page) = self.page(method, member, credential, cursor.as_deref()).await? else {
                break;
            };
            all.hints = if number == 0 {
                page.hints
            } else {
                all.hints.and(page.hints)
            };
            all.items.extend(page.items);
            if all.items.len() > most {
                tracing::warn!(server = %self.spec().name, list = member, most, "list truncated");
                all.items.truncate(most);
                break;
            }
            match page.next_cursor {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => break,
            }
        }
        Ok(all)
    }

    async fn page(
        &self,
        method: &Method,
        member: &str,
        credential: &Arc<UpstreamCredential>,
        cursor: Option<&str>,
    ) -> Result<Option<Page>> {
        let mut params = RawObject::new();
        if let Some(cursor) = cursor {
            params.set("cursor", object::quote(cursor));
        }
        let outgoing = UpstreamRequest {
            requester: Requester::Internal,
            id: &RequestId::from_u64(1),
            method,
            params: &params,
            declared: None,
            // The server can send no requests now. Some servers list tools that need a person only to clients with these
            // capabilities.
            capabilities: ClientCapabilities::SOMEBODY.within(self.spec().server_requests),
            odd_output: false,
            uris: None,
            tasks: None,
            mirrored: &[],
            credential,
            passthrough: &HeaderMap::new(),
        };
        let reply = self.connection.call(&outgoing).await?;
        let message = reply.into_message(self.config().limits.held_bytes).await;
        match message.ok().flatten().as_ref().and_then(collect::outcome) {
            Some(Outcome::Result(raw)) => match Page::read(&raw, member) {
                Some(page) => Ok(Some(page)),
                None => Err(self
                    .connection
                    .protocol_error(format!("its list of {member} cannot be read"))),
            },
            Some(Outcome::Error(raw)) => match ErrorObject::parse(&raw) {
                Some(error) if error.code == METHOD_NOT_FOUND => Ok(None),
                Some(error) => Err(self
                    .connection
                    .protocol_error(format!("it refused to list its {member}: {error}"))),
                None => Err(self
                    .connection
                    .protocol_error(format!("it refused to list its {member}"))),
            },
            None => Err(self
                .connection
                .protocol_error(format!("its list of {member} broke off"))),
        }
    }
}

#[derive(Debug)]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
    hints: CacheHints,
}

impl Page {
    fn read(result: &Bytes, member: &str) -> Option<Self> {
        let result = RawObject::parse(result).ok()?;
        let ttl = result
            .get("ttlMs")
            .and_then(|raw| std::str::from_utf8(raw).ok()?.parse().ok());
        Some(Self {
            items: serde_json::from_slice(result.get(member)?).ok()?,
            next_cursor: result
                .get("nextCursor")
                .and_then(object::text)
                .map(|text| text.into_owned()),
            hints: CacheHints {
                ttl: Duration::from_millis(ttl.unwrap_or(0)),
                public: result.get("cacheScope").is_some_and(|raw| raw == r#""public""#),
            },
        })
    }
}

impl CacheHints {
    /// Returns the hints that hold for both.
    pub fn and(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.min(other.ttl),
            public: self.public && other.public,
        }
    }
}
