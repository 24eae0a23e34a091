//! The listeners to one server with one credential, and what they want together.

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

/// The feeds of one server.
#[derive(Debug, Default)]
pub(crate) struct NotificationFeeds(Mutex<Vec<Arc<NotificationFeed>>>);

/// The notifications of one server for one credential. [`UpstreamServer::notifications`](crate::UpstreamServer::notifications) returns it.
#[derive(Debug)]
pub struct NotificationFeed {
    /// The lists of the server that is listened to.
    pub(crate) lists: Weak<ServerLists>,
    /// The credential that the server is followed with.
    pub credential: Arc<UpstreamCredential>,
    state: Mutex<State>,
    /// Incremented when the wanted notifications change.
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

/// The wanted items, with the number of listeners that want each.
#[derive(Debug, Default)]
struct Counted(BTreeMap<Arc<str>, usize>);

/// The notifications that all listeners together want.
#[derive(Debug)]
pub(crate) struct DesiredFilter {
    /// The number of changes so far.
    pub(crate) revision: u64,
    /// The URIs of resources.
    pub(crate) uris: BTreeSet<Arc<str>>,
    /// The ids of tasks.
    pub(crate) tasks: BTreeSet<Arc<str>>,
    /// The most verbose wanted log level.
    pub(crate) log: Option<LogLevel>,
}

/// The notifications that the server has agreed to send, for a revision of the wanted ones.
#[derive(Debug, Default)]
pub struct GrantedFilter {
    /// The revision of the wanted notifications.
    pub revision: u64,
    /// `true` if the server is followed.
    pub live: bool,
    /// The URIs that the server sends no notifications of, each with its error.
    pub refused: HashMap<Arc<str>, ErrorObject>,
    /// The tasks that the server sends notifications of.
    pub tasks: BTreeSet<Arc<str>>,
}

impl NotificationFeeds {
    /// Returns the feed of a credential. Equal credentials share one.
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

impl NotificationFeeds {
    /// Passes a notification to the listeners with an equal credential.
    pub(crate) fn tell_listeners_with(&self, credential: &UpstreamCredential, change: &ServerNotification) {
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = feeds.iter().find(|feed| *feed.credential == *credential).cloned();
        drop(feeds);
        if let Some(feed) = feed {
            feed.pass(change);
        }
    }
}

impl NotificationSink for NotificationFeeds {
    /// Passes a notification to the listeners of all feeds.
    fn tell(&self, change: &ServerNotification) {
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        feeds.iter().for_each(|feed| feed.pass(change));
    }
}

impl NotificationFeed {
    /// Passes a notification of the server to the listeners that want it. The cached list is marked stale before.
    pub(crate) fn tell(&self, change: &ServerNotification) {
        if let (ServerNotification::List(list), Some(lists)) = (change, self.lists.upgrade()) {
            lists.mark_stale(*list);
        }
        self.pass(change);
    }

    /// Passes a notification to the listeners that want it.
    fn pass(&self, change: &ServerNotification) {
        let state = self.lock();
        let told = state.listeners.values().filter(|(filter, _)| filter.wants(change));
        told.for_each(|(_, sink)| sink.tell(change));
    }

    /// Fetches the cached lists again, because notifications may have been missed. Changes are announced.
    pub(crate) fn gap(&self) {
        if let Some(lists) = self.lists.upgrade() {
            lists.reread(&self.credential);
        }
    }

    /// Fetches the lists again that could not be fetched: the server is followed now.
    pub(crate) fn reached(&self) {
        if let Some(lists) = self.lists.upgrade() {
            lists.reread_failed(&self.credential);
        }
    }

    /// Returns a receiver that wakes when the wanted notifications change.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// Returns what all listeners together want.
    pub(crate) fn desired(&self) -> DesiredFilter {
        let state = self.lock();
        DesiredFilter {
            revision: *self.wanted.borrow(),
            uris: state.uris.all(),
            tasks: state.tasks.all(),
            log: state.listeners.values().filter_map(|(filter, _)| filter.log).min(),
        }
    }

    /// Publishes what the server has agreed to.
    pub(crate) fn granted(&self, granted: GrantedFilter) {
        self.granted.send_replace(Arc::new(granted));
    }

    /// Completes when there has been no listener for `grace`. The caller then removes the driver, and the next listener
    /// starts another.
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

    /// Removes the driver, unless there is a listener again. Returns `true` if it was removed.
    pub(crate) fn stop(&self) -> bool {
        let mut state = self.lock();
        let stops = state.listeners.is_empty();
        if stops && let Some(driver) = state.driver.take() {
            // The caller is the driver, which ends by itself.
            driver.detach();
        }
        stops
    }

    /// Increments the revision if something changed, and returns it.
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
    /// Records what a listener wants. Returns `true` if the wanted notifications of all listeners changed.
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

    /// Adds items. Returns `true` if one of them is new.
    fn add(&mut self, those: &BTreeSet<Arc<str>>) -> bool {
        let mut is_news = false;
        for one in those {
            let count = self.0.entry(one.clone()).or_default();
            is_news |= *count == 0;
            *count += 1;
        }
        is_news
    }

    /// Removes items. Returns `true` if one of them has no listener any more.
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
