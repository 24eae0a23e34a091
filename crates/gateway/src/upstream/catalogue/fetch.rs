//! Asking a server for a list: one at a time, all pages, within a deadline.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::HeaderMap;
use portolan_core::{Error, Failure, FailureKind, ResourceNaming, Result, UpstreamCredential};
use portolan_wire::{
    envelope::Outcome,
    error::{ErrorObject, METHOD_NOT_FOUND},
    id::RequestId,
    method::Method,
    object::{self, RawObject},
};
use serde_json::value::RawValue;

use super::{
    super::{Requester, ServerNotification, UpstreamRequest, UpstreamServer, events},
    Hints, Listed, Listing,
    cached::Breaker,
};
use crate::server_requests::ClientCapabilities;

/// Pages of one list that are read.
const PAGES: usize = 1000;
/// How long a server that hung last time is waited for.
const SECOND_CHANCE: Duration = Duration::from_secs(1);

/// All that a server listed.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) items: Vec<Box<RawValue>>,
    pub(super) hints: Hints,
}

impl UpstreamServer {
    /// The list of a server of which none is known.
    pub(super) async fn first<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<Listed<L>>> {
        let cached = L::cached(&self.catalogue);
        match cached.breaker(&self.server.name) {
            Breaker::Closed => self.fresh(credential).await,
            Breaker::Open(error) => Err(error),
            Breaker::HalfOpen(error) => match tokio::time::timeout(SECOND_CHANCE, self.fresh(credential)).await {
                Ok(fetched) => fetched,
                Err(_) => Err(error),
            },
        }
    }

    /// A list as the server gives it now. Whoever waits for the same shares the answer.
    pub(super) async fn fresh<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<Listed<L>>> {
        // It goes on when nobody waits any more, so that those who come later find it.
        let (link, credential) = (self.clone(), credential.clone());
        let since = Instant::now();
        let asking = async move { link.take_turn::<L>(&credential, since).await };
        let asked = self.connector.tasks.spawn(asking).await;
        asked.unwrap_or_else(|_| Err(self.protocol_error(format!("its list of {} was given up", L::MEMBER))))
    }

    /// Fetches a list anew, in the background, unless somebody does already.
    pub(super) fn refresh<L: Listing>(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) {
        if L::cached(&self.catalogue).turn.try_lock().is_err() {
            return;
        }
        let (link, credential) = (self.clone(), credential.clone());
        let since = Instant::now();
        self.connector.tasks.spawn(async move {
            if let Err(error) = link.take_turn::<L>(&credential, since).await {
                tracing::warn!(server = %link.server.name, list = L::MEMBER, %error,
                    "a list cannot be refreshed; the old one stays");
            }
        });
    }

    /// Asks, unless somebody has asked since. The turn of others is part of the wait: behind a server that hangs, nobody
    /// waits for the patience of those before.
    async fn take_turn<L: Listing>(
        &self,
        credential: &Arc<UpstreamCredential>,
        since: Instant,
    ) -> Result<Arc<Listed<L>>> {
        let cached = L::cached(&self.catalogue);
        let after = self.config().timeouts.list;
        let late = || Error::Timeout {
            action: format!("the list of {} of server {:?}", L::MEMBER, self.server.name.as_str()),
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
        if let Some(error) = cached.failed_since(since, &self.server.name) {
            return Err(error);
        }
        let begun = Instant::now();
        let change = cached.change();
        let fetched = tokio::time::timeout_at(deadline, self.fetch::<L>(credential)).await;
        match fetched.unwrap_or_else(|_| Err(late())) {
            Ok(fetched) => {
                let items = L::read(self, fetched.items);
                // What the server has told of itself, whoever listens knows already.
                let told = |known: &Listed<L>| known.change != change;
                let known = cached.listed.load_full();
                let is_news = known.is_some_and(|known| !told(&known) && !known.items.is_same(&items));
                let listed = cached.store(items, fetched.hints, change);
                if is_news {
                    self.announce(&ServerNotification::List(L::LIST));
                }
                Ok(listed)
            }
            Err(error) => {
                cached.fail(begun, &self.server.name, &error);
                Err(error)
            }
        }
    }

    pub(super) async fn fetch<L: Listing>(&self, credential: &Arc<UpstreamCredential>) -> Result<Items> {
        if let Some(capability) = L::CAPABILITY {
            self.introduce(credential).await?;
            if self.info().is_some_and(|info| !info.offers(capability)) {
                return Ok(Items::default());
            }
        }
        self.items(&L::METHOD, L::MEMBER, credential).await
    }

    /// Reads all pages of a list. A server that does not know the method has none.
    pub(super) async fn items(
        &self,
        method: &Method,
        member: &str,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Items> {
        let most = self.config().limits.tools;
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
                tracing::warn!(server = %self.server.name, list = member, most, "a server lists more than is taken");
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
            client: Requester::Gateway,
            id: RequestId::from_u64(1),
            method: method.clone(),
            params,
            unchanged: None,
            declared: None,
            // Nobody can be asked now. Some servers list what needs a person only if they are told that there is one.
            asks: ClientCapabilities::SOMEBODY.within(self.server.server_requests),
            odd_output: false,
            uris: ResourceNaming::Plain,
            tasks: None,
            mirrored: &[],
            credential,
            passthrough: HeaderMap::new(),
        };
        let reply = self.call(&outgoing).await?;
        let message = reply.into_message(self.config().limits.held_bytes).await;
        match message.ok().flatten().as_ref().and_then(events::outcome) {
            Some(Outcome::Result(raw)) => match Page::read(&raw, member) {
                Some(page) => Ok(Some(page)),
                None => Err(self.protocol_error(format!("its list of {member} cannot be read"))),
            },
            Some(Outcome::Error(raw)) => match ErrorObject::parse(&raw) {
                Some(error) if error.code == METHOD_NOT_FOUND => Ok(None),
                Some(error) => Err(self.protocol_error(format!("it refuses to list its {member}: {error}"))),
                None => Err(self.protocol_error(format!("it refuses to list its {member}"))),
            },
            None => Err(self.protocol_error(format!("its list of {member} broke off"))),
        }
    }

    pub(in crate::upstream) fn protocol_error(&self, problem: String) -> Error {
        Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure: Failure::new(FailureKind::Protocol, problem),
        }
    }
}

#[derive(Debug)]
struct Page {
    items: Vec<Box<RawValue>>,
    next_cursor: Option<String>,
    hints: Hints,
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
            hints: Hints {
                ttl: Duration::from_millis(ttl.unwrap_or(0)),
                public: result.get("cacheScope").is_some_and(|raw| raw == r#""public""#),
            },
        })
    }
}

impl Hints {
    /// What holds of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            ttl: self.ttl.min(other.ttl),
            public: self.public && other.public,
        }
    }
}
