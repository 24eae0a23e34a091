//! The listeners to one server with one credential, and what they want together.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use crate::notifications::NotificationFilter;
use crate::notifications::NotificationSink;
use crate::notifications::ServerNotification;
use crate::notifications::driver;
use crate::server::UpstreamServer;
use portolan_core::UpstreamCredential;
use portolan_wire::{error::ErrorObject, level::LogLevel};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

/// The feeds of one server.
#[derive(Debug, Default)]
pub(crate) struct NotificationFeeds(Mutex<Vec<Arc<NotificationFeed>>>);

/// The notifications of one server for one credential. [`UpstreamServer::notifications`] returns it.
#[derive(Debug)]
pub struct NotificationFeed {
    /// The server.
    pub server: Weak<UpstreamServer>,
    /// The credential that the server is followed with.
    pub credential: Arc<UpstreamCredential>,
    state: Mutex<State>,
    /// Incremented when the wanted notifications change.
    wanted: watch::Sender<u64>,
    granted: watch::Sender<Arc<GrantedFilter>>,
}

#[derive(Debug, Default)]
struct State {
    listeners: HashMap<u64, (NotificationFilter, Arc<dyn NotificationSink>)>,
    next: u64,
    uris: Counted,
    tasks: Counted,
    driver: Option<AbortOnDropHandle<()>>,
}

/// The wanted items, with the number of listeners that want each.
#[derive(Debug, Default)]
struct Counted(BTreeMap<Arc<str>, usize>);

/// The notifications that all listeners together want.
#[derive(Debug)]
pub struct DesiredFilter {
    /// The number of changes so far.
    pub revision: u64,
    /// The URIs of resources.
    pub uris: BTreeSet<Arc<str>>,
    /// The ids of tasks.
    pub tasks: BTreeSet<Arc<str>>,
    /// The most verbose wanted log level.
    pub log: Option<LogLevel>,
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

/// A listener's registration. Dropping it ends the listening.
#[derive(Debug)]
pub struct Listening {
    feed: Arc<NotificationFeed>,
    id: u64,
    revision: u64,
}

impl NotificationFeeds {
    /// Returns the feed of a credential. Equal credentials share one.
    pub(crate) fn of(
        &self,
        server: &Arc<UpstreamServer>,
        credential: &Arc<UpstreamCredential>,
    ) -> Arc<NotificationFeed> {
        let mut feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.retain(|feed| Arc::strong_count(feed) > 1 || feed.lock().driver.is_some());
        if let Some(feed) = feeds.iter().find(|feed| *feed.credential == **credential) {
            return feed.clone();
        }
        let feed = Arc::new(NotificationFeed {
            server: Arc::downgrade(server),
            credential: credential.clone(),
            state: Mutex::default(),
            wanted: watch::Sender::new(0),
            granted: watch::Sender::default(),
        });
        feeds.push(feed.clone());
        feed
    }

    /// Passes a notification to the listeners of all feeds.
    pub(crate) fn tell(&self, change: &ServerNotification) {
        let feeds = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        feeds.iter().for_each(|feed| feed.pass(change));
    }
}

impl NotificationFeed {
    /// Starts to listen. Has to be called within a tokio runtime.
    ///
    /// For an example, see the [module docs](crate::notifications).
    pub fn listen(self: &Arc<Self>, filter: NotificationFilter, sink: Arc<dyn NotificationSink>) -> Listening {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let begins = state.driver.is_none();
        let changed = state.enter(id, filter, sink);
        let revision = self.wanting(changed || begins);
        if begins {
            state.driver = driver::start(self);
        }
        drop(state);
        Listening {
            feed: self.clone(),
            id,
            revision,
        }
    }

    /// Passes a notification of the server to the listeners that want it. The cached list is marked stale before.
    pub fn tell(&self, change: &ServerNotification) {
        if let (ServerNotification::List(list), Some(server)) = (change, self.server.upgrade()) {
            server.mark_stale(*list);
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
    pub fn gap(&self) {
        if let Some(server) = self.server.upgrade() {
            server.reread(&self.credential);
        }
    }

    /// Returns a receiver that wakes when the wanted notifications change.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.wanted.subscribe()
    }

    /// Returns what all listeners together want.
    pub fn desired(&self) -> DesiredFilter {
        let state = self.lock();
        DesiredFilter {
            revision: *self.wanted.borrow(),
            uris: state.uris.all(),
            tasks: state.tasks.all(),
            log: state.listeners.values().filter_map(|(filter, _)| filter.log).min(),
        }
    }

    /// Publishes what the server has agreed to.
    pub fn granted(&self, granted: GrantedFilter) {
        self.granted.send_replace(Arc::new(granted));
    }

    /// Completes when there has been no listener for `grace`. The caller then removes the driver, and the next listener
    /// starts another.
    pub async fn unwanted(&self, grace: Duration) {
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
    pub fn stop(&self) -> bool {
        let mut state = self.lock();
        let stops = state.listeners.is_empty();
        if stops && let Some(driver) = state.driver.take() {
            // The caller is the driver, which ends by itself.
            driver.detach();
        }
        stops
    }

    /// Increments the revision if something changed, and returns it.
    fn wanting(&self, changed: bool) -> u64 {
        if changed {
            self.wanted.send_modify(|revision| *revision += 1);
        }
        *self.wanted.borrow()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Records what a listener wants. Returns `true` if the wanted notifications of all listeners changed.
    fn enter(&mut self, id: u64, filter: NotificationFilter, sink: Arc<dyn NotificationSink>) -> bool {
        let mut changed = self.listeners.is_empty();
        changed |= self.uris.add(&filter.uris);
        changed |= self.tasks.add(&filter.tasks);
        changed |= filter.log.is_some();
        if let Some((old, _)) = self.listeners.insert(id, (filter, sink)) {
            changed |= self.release(&old);
        }
        changed
    }

    fn leave(&mut self, id: u64) -> bool {
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

impl Listening {
    /// Returns `true` if this is a registration at `feed`.
    pub fn is_at(&self, feed: &Arc<NotificationFeed>) -> bool {
        Arc::ptr_eq(&self.feed, feed)
    }

    /// Replaces the filter.
    pub fn change(&mut self, filter: NotificationFilter) {
        let mut state = self.feed.lock();
        let Some((old, sink)) = state.listeners.get(&self.id) else {
            return;
        };
        if *old == filter {
            return;
        }
        let sink = sink.clone();
        let changed = state.enter(self.id, filter, sink);
        self.revision = self.feed.wanting(changed);
    }

    /// Waits until the server has agreed to this listener's filter, and returns all that it has agreed to. Returns `None`
    /// after `at_most`.
    pub async fn granted(&self, at_most: Duration) -> Option<Arc<GrantedFilter>> {
        let mut offers = self.feed.granted.subscribe();
        let known = offers.wait_for(|granted| granted.revision >= self.revision);
        let granted = tokio::time::timeout(at_most, known).await.ok()?.ok()?;
        Some(granted.clone())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.feed.lock();
        let changed = state.leave(self.id);
        self.feed.wanting(changed);
    }
}
