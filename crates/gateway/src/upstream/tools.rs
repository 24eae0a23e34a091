//! What a server can do, as it last said, kept fresh in the background.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::HeaderMap;
use http_body_util::BodyExt;
use portolan_core::{Cause, Error, Failure, Outbound, Result, Tool};
use portolan_wire::{
    envelope::Outcome,
    error::ErrorObject,
    id::RequestId,
    method::Method,
    object::{self, RawObject},
    sse,
};
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use super::{ClientSide, Link, Outgoing, Reply, events};
use crate::{
    body::Body,
    exposure::ExposedTools,
    intake::{self, Collect},
};

/// Pages of one list that are read.
const PAGES: usize = 1000;

/// The tools of one server.
#[derive(Debug, Default)]
pub(crate) struct ToolCache {
    listed: ArcSwapOption<Listed>,
    fetching: Mutex<()>,
    /// What the registry said last, as a hash.
    seed: AtomicU64,
    /// When the list could not be had, last.
    failed: ArcSwapOption<Instant>,
}

#[derive(Debug)]
struct Listed {
    at: Instant,
    tools: Arc<ExposedTools>,
}

impl Link {
    /// Takes over what the registry knows, unless it says the same as before: the server itself may have been asked
    /// since.
    pub(crate) fn reseed(&self, tools: &[Tool]) {
        if tools.is_empty() {
            return;
        }
        let mut seed = DefaultHasher::new();
        tools.iter().for_each(|tool| tool.definition().get().hash(&mut seed));
        let seed = seed.finish();
        if self.tools.seed.swap(seed, Ordering::Relaxed) != seed || self.known_tools().is_none() {
            self.store(tools.to_vec());
        }
    }

    /// The tools as they are known now, without waiting.
    pub(crate) fn known_tools(&self) -> Option<Arc<ExposedTools>> {
        Some(self.tools.listed.load().as_ref()?.tools.clone())
    }

    /// Whether a list was asked for within `age`, and could not be had.
    pub(crate) fn failed_within(&self, age: Duration) -> bool {
        self.tools.failed.load().as_ref().is_some_and(|at| at.elapsed() < age)
    }

    /// The tools. The first to ask waits, within the deadline for lists; later ones get what is known while it is fetched
    /// anew in the background.
    pub(crate) async fn tools(self: &Arc<Self>, credential: &Arc<Outbound>) -> Result<Arc<ExposedTools>> {
        let Some(listed) = self.tools.listed.load_full() else {
            return self.first_fetch(credential).await;
        };
        if listed.at.elapsed() > self.config().timeouts.list_age {
            let (upstream, credential, at) = (self.clone(), credential.clone(), listed.at);
            self.connector
                .tasks
                .spawn(async move { upstream.refetch(&credential, at).await });
        }
        Ok(listed.tools.clone())
    }

    /// The tools, fetched anew unless that was done within `age`.
    pub(crate) async fn tools_within(
        self: &Arc<Self>,
        credential: &Arc<Outbound>,
        age: Duration,
    ) -> Result<Arc<ExposedTools>> {
        match self.tools.listed.load_full() {
            Some(listed) if listed.at.elapsed() < age => Ok(listed.tools.clone()),
            Some(listed) => {
                let fetching = async {
                    let _fetching = self.tools.fetching.lock().await;
                    match self.tools.listed.load_full() {
                        Some(newer) if newer.at > listed.at => Ok(newer.tools.clone()),
                        _ => self.fetch(credential).await,
                    }
                };
                self.in_time(Box::pin(fetching)).await
            }
            None => self.first_fetch(credential).await,
        }
    }

    async fn first_fetch(&self, credential: &Arc<Outbound>) -> Result<Arc<ExposedTools>> {
        let fetching = async {
            let _fetching = self.tools.fetching.lock().await;
            match self.known_tools() {
                Some(tools) => Ok(tools),
                None => self.fetch(credential).await,
            }
        };
        let fetched = self.in_time(Box::pin(fetching)).await;
        if fetched.is_err() {
            self.tools.failed.store(Some(Arc::new(Instant::now())));
        }
        fetched
    }

    async fn refetch(&self, credential: &Arc<Outbound>, older: Instant) {
        let Ok(_fetching) = self.tools.fetching.try_lock() else {
            return;
        };
        if self
            .tools
            .listed
            .load()
            .as_ref()
            .is_some_and(|listed| listed.at > older)
        {
            return;
        }
        if let Err(error) = self.in_time(self.fetch(credential)).await {
            tracing::warn!(server = %self.server.name, %error, "a list of tools cannot be refreshed; the old one stays");
            // The next one to ask does not try again at once.
            if let Some(tools) = self.known_tools() {
                self.tools.listed.store(Some(Arc::new(Listed {
                    at: Instant::now(),
                    tools,
                })));
            }
        }
    }

    async fn fetch(&self, credential: &Arc<Outbound>) -> Result<Arc<ExposedTools>> {
        Ok(self.store(self.list(credential).await?))
    }

    /// Waits within the deadline for lists. The turn of others is part of the wait: behind a server that hangs, nobody
    /// waits for the patience of those before.
    async fn in_time<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let after = self.config().timeouts.list;
        match tokio::time::timeout(after, work).await {
            Ok(done) => done,
            Err(_) => Err(Error::Timeout {
                action: format!("the tool list of server {:?}", self.server.name.as_str()),
                after,
            }),
        }
    }

    fn store(&self, tools: Vec<Tool>) -> Arc<ExposedTools> {
        let tools = Arc::new(ExposedTools::new(&self.server.name, tools));
        self.tools.listed.store(Some(Arc::new(Listed {
            at: Instant::now(),
            tools: tools.clone(),
        })));
        tools
    }

    /// Reads all pages of the server's list. A definition that cannot be used is left out, and does not lose the others.
    pub(crate) async fn list(&self, credential: &Arc<Outbound>) -> Result<Vec<Tool>> {
        let most = self.config().limits.tools;
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES {
            let page = self.page(credential, cursor.as_deref()).await?;
            for definition in page.tools {
                match Tool::parse(definition) {
                    Ok(tool) => tools.push(tool),
                    Err(error) => tracing::warn!(server = %self.server.name, %error, "a tool is left out"),
                }
            }
            if tools.len() > most {
                tracing::warn!(server = %self.server.name, most, "a server has more tools than are taken");
                tools.truncate(most);
                return Ok(tools);
            }
            match page.next_cursor {
                Some(next) if cursor.as_ref() != Some(&next) => cursor = Some(next),
                _ => return Ok(tools),
            }
        }
        Ok(tools)
    }

    async fn page(&self, credential: &Arc<Outbound>, cursor: Option<&str>) -> Result<Page> {
        let mut params = RawObject::new();
        if let Some(cursor) = cursor {
            params.set("cursor", object::quote(cursor));
        }
        let outgoing = Outgoing {
            client: ClientSide::Gateway,
            id: RequestId::from_u64(1),
            method: Method::ToolsList,
            params,
            unchanged: None,
            mirrored: &[],
            credential,
            passthrough: HeaderMap::new(),
        };
        let message = self
            .call(&outgoing)
            .await?
            .into_message(self.config().limits.held_bytes)
            .await;
        let odd = |problem: String| Error::NotReady {
            what: "server",
            name: self.server.name.to_string(),
            failure: Failure::new(Cause::Protocol, problem),
        };
        match message.ok().flatten().as_ref().and_then(events::outcome) {
            Some(Outcome::Result(raw)) => {
                serde_json::from_slice(&raw).map_err(|fault| odd(format!("its tool list cannot be read: {fault}")))
            }
            Some(Outcome::Error(raw)) => {
                let error = ErrorObject::parse(&raw);
                // A server without tools need not know the method.
                if error
                    .as_ref()
                    .is_some_and(|error| error.code == portolan_wire::error::METHOD_NOT_FOUND)
                {
                    return Ok(Page::default());
                }
                Err(odd(format!(
                    "it refuses to list its tools: {}",
                    error.map_or_else(String::new, |error| error.to_string())
                )))
            }
            None => Err(odd("its tool list broke off".into())),
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    tools: Vec<Box<RawValue>>,
    #[serde(default)]
    next_cursor: Option<String>,
}

impl Reply {
    /// The one message that answers, whole. A call that was cancelled has none.
    pub(crate) async fn into_message(self, limit: usize) -> Result<Option<Bytes>, Collect> {
        match self {
            Self::Message(message) => Ok(Some(message)),
            Self::Json(body) => intake::collect(body, limit).await.map(Some),
            Self::Events(body) => last_answer(body, limit).await,
        }
    }
}

async fn last_answer(mut body: Body, limit: usize) -> Result<Option<Bytes>, Collect> {
    let mut decoder = sse::Decoder::new(limit);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| Collect::Broken)?.into_data() {
            decoder.push(data);
        }
        while let Some(event) = decoder.next_event().map_err(|_| Collect::TooLarge)? {
            if events::outcome(&event.data).is_some() {
                return Ok(Some(event.data));
            }
        }
    }
    Ok(None)
}
