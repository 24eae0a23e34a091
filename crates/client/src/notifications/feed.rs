//! Who listens to a server with one credential, and what they want together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use portolan_core::UpstreamCredential;
use portolan_wire::{error::ErrorObject, level::LogLevel};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    catalog::ServerLists,
    server_notifications::{NotificationFilter, NotificationSink, ServerNotification},
};

/// The hubs of one link.
#[derive(Debug, Default)]
pub(crate) struct NotificationFeeds(Mutex<Vec<Arc<NotificationFeed>>>);

/// The listeners to one server with one credential.
#[derive(Debug)]
pub struct NotificationFeed {
    /// The lists of the server that is listened to.
    pub(crate) lists: Weak<ServerLists>,
    pub credential: Arc<UpstreamCredential>,
    state: Mutex<State>,
    /// Counts up when what is wanted changes.
    wanted: watch::Sender<u64>,
    pub(super) granted: watch::Sender<Arc<GrantedFilter>>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) listeners: HashMap<u64, (NotificationFilter, Arc<dyn NotificationSink>)>,
    pub(super) next: u64,
    uris: Counted,
    tasks: Counted,
    pub(super) driver: Option<AbortOnDropHandle<()>>,
}

/// What is wanted, and by how many.
#[derive(Debug, Default)]
struct Counted(BTreeMap<Arc<str>, usize>);

/// What all listeners want together.
#[derive(Debug)]
pub(crate) struct DesiredFilter {
    pub(crate) revision: u64,
    pub(crate) uris: BTreeSet<Arc<str>>,
    pub(crate) tasks: BTreeSet<Arc<str>>,
    /// The most verbose level that is wanted.
    pub(crate) log: Option<LogLevel>,
}

/// What the server has agreed to, up to a revision of what was wanted.
#[derive(Debug, Default)]
pub struct GrantedFilter {
    pub revision: u64,
    /// Whether it is listened to.
    pub live: bool,
    /// URIs that it does not tell of, and why.
    pub refused: HashMap<Arc<str>, ErrorObject>,
    /// Tasks that it tells of.
    pub tasks: BTreeSet<Arc<str>>,
}

impl NotificationFeeds {
    /// The hub for a credential. Equal credentials share one.
    pub(crate) fn of(&self, lists: &Arc<ServerLists>, credential: &Arc<UpstreamCredential>) -> Arc<NotificationFeed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| Arc::strong_count(feed) > 1 || feed.lock().driver.is_some());
        if let Some(feed) = feeds.iter().find(|feed| *feed.credential == **credential) {
            return feed.clone();
        }
        let feed = Arc::new(NotificationFeed {
            lists: Arc::downgrade(lists),
            credential: credential.clone(),
            state: Mutex::default(),
            wanted: watch::Sender::new(0),
            granted: watch::Sender::default(),
        });
        feeds.push(feed.clone());
        feed
    }
}

impl NotificationSink for NotificationFeeds {
    /// Tells all who listen to the server, with whatever credential.
    fn tell(&self, change: &ServerNotification) {
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        feeds.iter().for_each(|feed| feed.pass(change));
    }
}

impl NotificationFeed {
    /// Tells those who want to know. Lists that have changed are stale before anybody hears of it.
    pub(crate) fn tell(&self, change: &ServerNotification) {
        if let (ServerNotification::List(list), Some(lists)) = (change, self.lists.upgrade()) {
            lists.mark_stale(*list);
        }
        self.pass(change);
    }

    /// The same, of what was found out otherwise.
    fn pass(&self, change: &ServerNotification) {
        let state = self.lock();
        let told = state.listeners.values().filter(|(filter, _)| filter.wants(change));
        told.for_each(|(_, sink)| sink.tell(change));
    }

    /// Something may have been missed: what is known is read again, so that who listens hears of what is new.
    pub(crate) fn gap(&self) {
        if let Some(lists) = self.lists.upgrade() {
            lists.reread(&self.credential);
        }
    }

    /// Wakes whoever waits for a change of what is wanted.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    pub(crate) fn desired(&self) -> DesiredFilter {
        let state = self.lock();
        DesiredFilter {
            revision: *self.wanted.borrow(),
            uris: state.uris.all(),
            tasks: state.tasks.all(),
            log: state.listeners.values().filter_map(|(filter, _)| filter.log).min(),
        }
    }

    /// Says what the server has agreed to.
    pub(crate) fn granted(&self, granted: GrantedFilter) {
        self.granted.send_replace(Arc::new(granted));
    }

    /// Ready when nobody has listened for `grace`; then the driver is taken out, and the next listener starts another.
    pub(crate) async fn unwanted(&self, grace: Duration) {
        let mut wanted = self.watch();
        loop {
            if self.lock().listeners.is_empty() {
                tokio::select! {
                    _ = wanted.changed() => {}
                    () = tokio::time::sleep(grace) => return,
                }
            } else if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends the driver, unless somebody listens again.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        let stops = state.listeners.is_empty();
        if stops && let Some(driver) = state.driver.take() {
            // It is the driver that asks: it ends by itself.
            driver.detach();
        }
        stops
    }

    /// Counts up where something changed, and gives the count.
    pub(super) fn wanting(&self, changed: bool) -> u64 {
        if changed {
            self.wanted.send_modify(|revision| *revision += 1);
        }
        *self.wanted.borrow()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes what a listener wants, and says whether all together want something else now.
    pub(super) fn enter(&mut self, id: u64, filter: NotificationFilter, sink: Arc<dyn NotificationSink>) -> bool {
        let mut changed = self.listeners.is_empty();
        changed |= self.uris.add(&filter.uris);
        changed |= self.tasks.add(&filter.tasks);
        changed |= filter.log.is_some();
        if let Some((old, _)) = self.listeners.insert(id, (filter, sink)) {
            changed |= self.release(&old);
        }
        changed
    }

    pub(super) fn leave(&mut self, id: u64) -> bool {
        let Some((old, _)) = self.listeners.remove(&id) else {
            return false;
        };
        self.release(&old) || self.listeners.is_empty()
    }

    fn release(&mut self, filter: &NotificationFilter) -> bool {
        let uris = self.uris.take(&filter.uris);
        let tasks = self.tasks.take(&filter.tasks);
        uris || tasks || filter.log.is_some()
    }
}

impl Counted {
    fn all(&self) -> BTreeSet<Arc<str>> {
        self.0.keys().cloned().collect()
    }

    /// Whether one of `those` is new.
    fn add(&mut self, those: &BTreeSet<Arc<str>>) -> bool {
        let mut is_news = false;
        for one in those {
            let count = self.0.entry(one.clone()).or_default();
            is_news |= *count == 0;
            *count += 1;
        }
        is_news
    }

    /// Whether one of `those` is wanted no more.
    fn take(&mut self, those: &BTreeSet<Arc<str>>) -> bool {
        let mut is_news = false;
        for one in those {
            if let Some(count) = self.0.get_mut(one) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(one);
                    is_news = true;
                }
            }
        }
        is_news
    }
}
