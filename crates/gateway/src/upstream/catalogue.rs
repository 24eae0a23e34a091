//! What a server has, as it last said: its tools, prompts, resources and resource templates, kept fresh in the background.

mod cached;
mod fetch;
mod prompts;
mod resources;
mod template;
mod tools;

use std::{fmt::Debug, sync::Arc, time::Duration};

use portolan_core::{Result, UpstreamCredential};
use portolan_wire::method::Method;
use serde_json::value::RawValue;

use self::{cached::Cached, tools::Watch};
pub(crate) use self::{
    cached::{Hints, Listed},
    prompts::{Prompt, Prompts},
    resources::{Resources, Templates},
};
use super::{ListKind, UpstreamServer};
use crate::exposure::ExposedTools;

/// The lists of one server.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    tools: Cached<ExposedTools>,
    prompts: Cached<Prompts>,
    resources: Cached<Resources>,
    templates: Cached<Templates>,
    /// The digests of its tools.
    watch: Watch,
}

/// A kind of list.
pub(crate) trait Listing: Debug + Default + Send + Sync + Sized + 'static {
    /// What asks for it.
    const METHOD: Method;
    /// The member of the answer that holds it.
    const MEMBER: &'static str;
    /// The capability without which a server is known to have none. Tools are asked for in any case.
    const CAPABILITY: Option<&'static str>;

    /// What is told when it is another one.
    const LIST: ListKind;

    /// Where it is kept.
    fn cached(catalogue: &Catalogue) -> &Cached<Self>;

    /// Reads the items, in the order in which the server gave them. What cannot be used is left out.
    fn read(link: &UpstreamServer, items: Vec<Box<RawValue>>) -> Self;

    /// Whether another list says the same, to the byte.
    fn is_same(&self, other: &Self) -> bool;
}

impl UpstreamServer {
    /// What is known of a list now, without waiting.
    pub(crate) fn known<L: Listing>(&self) -> Option<Arc<L>> {
        Some(L::cached(&self.catalogue).listed.load().as_ref()?.items.clone())
    }

    /// Whether a list was asked for within `age`, and could not be had.
    pub(crate) fn failed_within<L: Listing>(&self, age: Duration) -> bool {
        L::cached(&self.catalogue).failed_within(age)
    }

    /// A list. The first to ask waits, within the deadline for lists, and so does who comes after the server has said that
    /// it changed; others get what is known while it is fetched anew in the background.
    pub(crate) async fn listed<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<Listed<L>>> {
        let cached = L::cached(&self.catalogue);
        let Some(listed) = cached.listed.load_full() else {
            return self.first::<L>(credential).await;
        };
        if cached.is_stale(&listed) {
            return Ok(self.fresh::<L>(credential).await.unwrap_or(listed));
        }
        if listed.looked_at.elapsed() > self.config().timeouts.list_age {
            self.refresh::<L>(credential);
        }
        Ok(listed)
    }

    /// A list, fetched anew unless that was done within `age`.
    pub(crate) async fn listed_within<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
        age: Duration,
    ) -> Result<Arc<Listed<L>>> {
        match L::cached(&self.catalogue).listed.load_full() {
            Some(listed) if listed.looked_at.elapsed() < age && !L::cached(&self.catalogue).is_stale(&listed) => {
                Ok(listed)
            }
            Some(_) => self.fresh::<L>(credential).await,
            None => self.first::<L>(credential).await,
        }
    }

    /// The server says that a list has changed: whoever asks next waits for the new one.
    pub(crate) fn mark_stale(&self, list: ListKind) {
        let catalogue = &self.catalogue;
        match list {
            ListKind::Tools => catalogue.tools.mark_stale(),
            ListKind::Prompts => catalogue.prompts.mark_stale(),
            ListKind::Resources => {
                catalogue.resources.mark_stale();
                catalogue.templates.mark_stale();
            }
        }
    }

    /// Something may have changed unheard: the lists that are known are read anew, and who listens is told of what is
    /// another one.
    pub(crate) fn reread(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) {
        self.reread_one::<ExposedTools>(credential);
        self.reread_one::<Prompts>(credential);
        self.reread_one::<Resources>(credential);
        self.reread_one::<Templates>(credential);
    }

    fn reread_one<L: Listing>(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) {
        if self.known::<L>().is_some() {
            self.refresh::<L>(credential);
        }
    }
}
