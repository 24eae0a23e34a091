//! The cached lists of a server: tools, prompts, resources and templates.
//!
//! A server may list different things for different credentials, so it has one [`Catalog`] per *credential scope*:
//! credentials of one scope see the same lists.

pub(crate) mod cached;
mod channel_watch;
pub(crate) mod definition;
pub(crate) mod digests;
pub(crate) mod fetch;
pub(crate) mod limits;
pub(crate) mod prompts;
pub(crate) mod resources;
pub(crate) mod scope;
pub(crate) mod seeds;
pub(crate) mod template;
pub(crate) mod tools;

use std::{fmt::Debug, sync::Arc, time::Duration};

use portolan_core::{OmittedDefinition, Result, ServerSnapshot, ServerSpec, Tool, ToolSet, UpstreamCredential};
use portolan_wire::method::Method;
use serde_json::value::RawValue;

use self::{
    cached::CachedList,
    channel_watch::ChannelWatch,
    definition::{Kind, Sorted},
    digests::DefinitionDigests,
    scope::Catalogs,
};
pub use self::{
    cached::{CacheHints, ListSnapshot},
    prompts::{Prompt, Prompts},
    resources::{ResourceTemplates, Resources},
    seeds::ToolSeeds,
    tools::Tools,
};
use crate::{
    config::ClientConfig,
    connection::ServerConnection,
    server_notifications::{ListKind, NotificationSink, ServerNotification},
};

/// The lists of one server for one credential scope.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    tools: CachedList<Tools>,
    prompts: CachedList<Prompts>,
    resources: CachedList<Resources>,
    templates: CachedList<ResourceTemplates>,
    digests: DefinitionDigests,
}

/// The lists of one server: asked for, and kept for each credential scope.
#[derive(Debug)]
pub(crate) struct ServerLists {
    connection: Arc<ServerConnection>,
    catalogs: Catalogs,
    channel: ChannelWatch,
    /// Told of lists that have changed without the server saying so.
    sink: Arc<dyn NotificationSink>,
}

/// A kind of list: [`Tools`], [`Prompts`], [`Resources`] or [`ResourceTemplates`]. Other crates cannot implement it.
///
/// ```
/// use portolan_client::{Listing, Method, Prompts, Tools};
///
/// assert_eq!((Tools::METHOD, Tools::MEMBER), (Method::ToolsList, "tools"));
/// assert_eq!(Prompts::MEMBER, "prompts");
/// ```
pub trait Listing: sealed::Read {
    /// The method that requests the list.
    const METHOD: Method;
    /// The member of the result with the items.
    const MEMBER: &'static str;
}

mod sealed {
    use super::*;

    /// Reads and caches a kind of list.
    pub trait Read: Debug + Default + Send + Sync + Sized + 'static {
        /// The capability without which a server is known to have no such list; `None` requests it in any case.
        const CAPABILITY: Option<&'static str>;
        /// The notification that announces a change.
        const KIND: ListKind;

        #[doc(hidden)]
        fn cached<'a>(lists: &Lists<'a>) -> Cached<'a, Self>;

        /// Reads the items in the server's order. Items that are not valid are left out.
        #[doc(hidden)]
        fn read(source: &Source<'_>, lists: &Lists<'_>, items: Vec<Box<RawValue>>) -> Self;

        /// Returns what the server listed besides, and that was left out because clients could not read it.
        fn omitted(&self) -> &[OmittedDefinition];

        /// Returns `true` if a newer list has nothing that listeners have to be told: it is the same, perhaps in another
        /// order.
        fn is_same(&self, other: &Self) -> bool;

        /// Returns `true` if the lists are equal, byte for byte.
        fn is_identical(&self, other: &Self) -> bool;
    }

    /// A catalog, for the kinds of list to choose from.
    #[derive(Debug)]
    pub struct Lists<'a>(pub(super) &'a Catalog);

    /// The server that a list is read from.
    #[derive(Debug)]
    pub struct Source<'a>(pub(super) &'a ServerLists);

    /// One list of a catalog.
    #[derive(Debug)]
    pub struct Cached<'a, L>(pub(super) &'a CachedList<L>);
}

fn cached<L: Listing>(catalog: &Catalog) -> &CachedList<L> {
    L::cached(&sealed::Lists(catalog)).0
}

impl ServerLists {
    pub(crate) fn new(connection: Arc<ServerConnection>, sink: Arc<dyn NotificationSink>) -> Self {
        Self {
            connection,
            catalogs: Catalogs::new(),
            channel: ChannelWatch::default(),
            sink,
        }
    }

    /// The server.
    pub(crate) fn connection(&self) -> &Arc<ServerConnection> {
        &self.connection
    }

    fn spec(&self) -> &ServerSpec {
        self.connection.spec()
    }

    fn config(&self) -> &ClientConfig {
        self.connection.config()
    }

    /// Returns the cached list, without a request; `None` if it has not been fetched.
    pub(crate) fn known<L: Listing>(&self, credential: &UpstreamCredential) -> Option<Arc<ListSnapshot<L>>> {
        cached::<L>(&self.catalogs.of(credential)).listed.load_full()
    }

    /// Returns `true` if fetching the list failed less than `age` ago.
    pub(crate) fn failed_within<L: Listing>(&self, credential: &UpstreamCredential, age: Duration) -> bool {
        cached::<L>(&self.catalogs.of(credential)).failed_within(age)
    }

    /// The list. The first to ask waits, and so does whoever asks after the server said that it changed; others get what is
    /// known while it is fetched again in the background.
    pub(crate) async fn list<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Arc<ListSnapshot<L>>> {
        self.look_at_channel().await;
        let catalog = self.catalogs.of(credential);
        let cached = cached::<L>(&catalog);
        let Some(listed) = cached.listed.load_full() else {
            return self.first::<L>(&catalog, credential).await;
        };
        if cached.is_stale(&listed) {
            return Ok(self.fresh::<L>(&catalog, credential).await.unwrap_or(listed));
        }
        if listed.looked_at.elapsed() > self.config().timeouts.list_age {
            self.refresh::<L>(&catalog, credential);
        }
        Ok(listed)
    }

    /// The list, fetched again unless that was done within `age`.
    pub(crate) async fn list_within<L: Listing>(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
        age: Duration,
    ) -> Result<Arc<ListSnapshot<L>>> {
        self.look_at_channel().await;
        let catalog = self.catalogs.of(credential);
        let cached = cached::<L>(&catalog);
        match cached.listed.load_full() {
            Some(listed) if listed.looked_at.elapsed() < age && !cached.is_stale(&listed) => Ok(listed),
            Some(_) => self.fresh::<L>(&catalog, credential).await,
            None => self.first::<L>(&catalog, credential).await,
        }
    }

    /// The tools that the server lists now, in its order, past every cache.
    pub(crate) async fn fetch_tools(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) -> Result<Vec<Tool>> {
        let listed = self.items(&Method::ToolsList, Tools::MEMBER, credential).await?;
        Ok(tools::parse(self, listed.items).0)
    }

    /// The tools that the server lists now, with those that were left out, past every cache.
    pub(crate) async fn fetch_tools_snapshot(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<ServerSnapshot> {
        let listed = self.items(&Method::ToolsList, Tools::MEMBER, credential).await?;
        let (tools, omitted) = tools::parse(self, listed.items);
        let mut snapshot = ServerSnapshot::of_tools(tools);
        snapshot.omitted = omitted;
        Ok(snapshot)
    }

    /// Asks the server for all that it lists, in its order: tools, prompts, resources and templates. What cannot be used is
    /// left out and logged; nothing is kept.
    pub(crate) async fn fetch_snapshot(
        self: &Arc<Self>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<ServerSnapshot> {
        let mut snapshot = self.fetch_tools_snapshot(credential).await?;
        let omitted = &mut snapshot.omitted;
        snapshot.prompts = self.fetch_usable::<Prompts>(Kind::PROMPT, omitted, credential).await?;
        snapshot.resources = self
            .fetch_usable::<Resources>(Kind::RESOURCE, omitted, credential)
            .await?;
        snapshot.templates = self
            .fetch_usable::<ResourceTemplates>(Kind::TEMPLATE, omitted, credential)
            .await?;
        Ok(snapshot)
    }

    /// Returns the items of a list that clients can read.
    async fn fetch_usable<L: Listing>(
        &self,
        kind: Kind,
        omitted: &mut Vec<OmittedDefinition>,
        credential: &Arc<UpstreamCredential>,
    ) -> Result<Vec<Box<RawValue>>> {
        let items = self.fetch::<L>(credential).await?.items.into_iter();
        let mut sorted = Sorted::new(kind, self.spec().name.as_str());
        let usable = items.filter_map(|item| sorted.take(item, &self.config().limits, Ok));
        let usable = usable.collect();
        omitted.append(&mut sorted.omitted);
        Ok(usable)
    }

    /// Seeds the cached tools with those of a registry, unless the registry gave the same before: the server may have been
    /// asked since. Callers see them until the server has been asked, where all callers have the same credential.
    pub(crate) fn seed_tools(self: &Arc<Self>, tools: &ToolSet, seeds: &ToolSeeds) {
        let catalog = self.catalogs.shared();
        if tools.is_empty() || !catalog.digests.take_seed(tools.digest()) && catalog.tools.listed.load().is_some() {
            return;
        }
        let known = catalog.tools.listed.load_full();
        let seed = seeds.of(&self.spec().name, tools);
        let has_news = !catalog.digests.begin_with(&seed.seen) && self.watch_definitions(catalog, &seed.items);
        let (hints, change) = (CacheHints::default(), catalog.tools.change());
        let listed = catalog.tools.store_shared(seed.items, seed.derived, hints, change);
        if known.is_some_and(|known| has_news || !sealed::Read::is_same(&*known.items, &*listed.items)) {
            self.sink.tell(&ServerNotification::List(ListKind::Tools));
        }
    }

    /// Marks a list as stale: the next caller waits for a new one.
    pub(crate) fn mark_stale(&self, list: ListKind) {
        self.catalogs.for_each(|catalog| match list {
            ListKind::Tools => catalog.tools.mark_stale(),
            ListKind::Prompts => catalog.prompts.mark_stale(),
            ListKind::Resources => {
                catalog.resources.mark_stale();
                catalog.templates.mark_stale();
            }
        });
    }

    /// Marks all lists as stale that may have changed without an announcement, as by a restart.
    pub(crate) fn doubt(&self, restarted: bool) {
        self.catalogs.for_each(|catalog| {
            if restarted {
                catalog.digests.note_restart();
            }
            catalog.tools.doubt();
            catalog.prompts.doubt();
            catalog.resources.doubt();
            catalog.templates.doubt();
        });
    }

    /// Fetches the cached lists again, because notifications may have been missed, and announces changes.
    pub(crate) fn reread(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) {
        let catalog = self.catalogs.of(credential);
        self.reread_one::<Tools>(&catalog, credential);
        self.reread_one::<Prompts>(&catalog, credential);
        self.reread_one::<Resources>(&catalog, credential);
        self.reread_one::<ResourceTemplates>(&catalog, credential);
    }

    fn reread_one<L: Listing>(self: &Arc<Self>, catalog: &Arc<Catalog>, credential: &Arc<UpstreamCredential>) {
        let cached = cached::<L>(catalog);
        if cached.listed.load().is_some() || cached.has_failed() {
            self.refresh::<L>(catalog, credential);
        }
    }

    /// Fetches the lists again that could not be fetched, because the server can be reached now.
    pub(crate) fn reread_failed(self: &Arc<Self>, credential: &Arc<UpstreamCredential>) {
        let catalog = self.catalogs.of(credential);
        self.reread_one_failed::<Tools>(&catalog, credential);
        self.reread_one_failed::<Prompts>(&catalog, credential);
        self.reread_one_failed::<Resources>(&catalog, credential);
        self.reread_one_failed::<ResourceTemplates>(&catalog, credential);
    }

    fn reread_one_failed<L: Listing>(self: &Arc<Self>, catalog: &Arc<Catalog>, credential: &Arc<UpstreamCredential>) {
        if cached::<L>(catalog).has_failed() {
            self.refresh::<L>(catalog, credential);
        }
    }
}
