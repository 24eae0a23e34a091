//! What clients are told outside of calls: by `subscriptions/listen` (modern) or on the GET streams of a session (legacy).
//!
//! Each has a [`Listener`], which waits at the hubs of all servers that its caller reaches. A hub tells its changes into
//! the listener's [`Outbox`], from which the open stream takes them: nothing runs for a stream that nothing happens to.

mod aside;
mod body;
mod get;
mod keeper;
mod levels;
mod listen;
mod outbox;
mod places;
mod renaming;
mod replicas;
mod sent;
mod subscribe;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{Extensions, HeaderMap, Request, Uri, request::Parts};
use portolan_core::{Caller, GatewayName, InstallName, Owner, ResourceNaming, ServerName};
use portolan_wire::{
    error::{self, ErrorObject},
    level::LogLevel,
};

pub(crate) use self::{
    aside::{Asides, Opening},
    levels::level,
    outbox::{End, Outbox},
};
use self::{places::Places, renaming::Renaming};
use crate::{
    question::Desk,
    service::Inner,
    table::Published,
    tasks::{self, Teller, Watching},
    upstream::{Change, Interest, List, Listening, Offer, Sink},
    visit::Visit,
};

/// The open streams of a gateway.
#[derive(Debug)]
pub(crate) struct Streams {
    listeners: Mutex<Vec<Weak<Listener>>>,
    places: Places,
    /// Whether the end has begun: then no stream is opened any more.
    draining: AtomicBool,
    /// Whether somebody looks after them.
    kept: AtomicBool,
}

/// Somebody who is to be told, and where it waits for that.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) outbox: Arc<Outbox>,
    gateway: GatewayName,
    caller: Arc<Caller>,
    interest: Mutex<Interest>,
    /// The tasks of which it is to be told.
    watching: Watching,
    attached: tokio::sync::Mutex<Vec<Attached>>,
    /// Whether something else is wanted than what is listened to.
    dirty: AtomicBool,
    /// What the client came in with, to see whether it may still come in.
    door: Mutex<Option<Door>>,
    /// What servers say on the streams of the session's own.
    pub(crate) asides: Asides,
}

/// A place at the hub of one server.
#[derive(Debug)]
struct Attached {
    listening: Listening,
    watched: Arc<Watched>,
    tasks: Option<Arc<tasks::Watched>>,
    /// How the client is told of resources there.
    uris: ResourceNaming,
}

struct Door {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

/// What the servers together have agreed to.
#[derive(Debug, Default)]
pub(crate) struct Agreed(Vec<RpcResponse>);

/// What one server has agreed to of what is wanted there; nothing if that is not known yet.
#[derive(Debug)]
struct RpcResponse {
    watched: Arc<Watched>,
    tasks: Option<Arc<tasks::Watched>>,
    offer: Option<Arc<Offer>>,
}

/// Resources by the URIs that the client has for them, each with that of its server.
type Watched = BTreeMap<Arc<str>, Arc<str>>;

impl Streams {
    pub(crate) fn new(config: &crate::GatewayConfig) -> Self {
        Self {
            listeners: Mutex::default(),
            places: Places::new(config.limits.listens, config.limits.streams),
            draining: AtomicBool::new(false),
            kept: AtomicBool::new(false),
        }
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.places.count()
    }

    /// Ends all streams, and opens no more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for listener in self.all() {
            listener.outbox.end(End::Graceful);
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn note(&self, listener: &Arc<Listener>) {
        self.lock().push(Arc::downgrade(listener));
    }

    fn all(&self) -> Vec<Arc<Listener>> {
        let mut listeners = self.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        if listeners.capacity() > 4 * listeners.len() + 64 {
            listeners.shrink_to_fit();
        }
        listeners.iter().filter_map(Weak::upgrade).collect()
    }

    fn of(&self, gateway: &GatewayName) -> Vec<Arc<Listener>> {
        let mut all = self.all();
        all.retain(|listener| listener.gateway == *gateway);
        all
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A gateway serves something else now: who listens to it is told, and listens to the servers that are there now.
    pub(crate) fn republished(self: &Arc<Self>, gateway: &GatewayName) {
        let listeners = self.streams.of(gateway);
        if listeners.is_empty() {
            return;
        }
        let Some(published) = self.table.get(gateway.as_str()) else {
            listeners.iter().for_each(|listener| listener.outbox.end(End::Graceful));
            return;
        };
        for listener in &listeners {
            listener.lists_changed();
            listener.dirty.store(true, Ordering::Release);
        }
        let inner = self.clone();
        self.connector.tasks.spawn(async move {
            for listener in listeners {
                inner.attach(&listener, &published, Duration::ZERO).await;
            }
        });
    }

    /// Waits at the hubs of all servers that the listener's caller reaches, and there only; gives what they agree to
    /// within a time. Of a resource the server that has it is asked, or those that may have it.
    pub(crate) async fn attach(&self, listener: &Listener, gateway: &Arc<Published>, at_most: Duration) -> Agreed {
        let deadline = Instant::now() + at_most;
        let visit = Visit {
            gateway: gateway.clone(),
            caller: listener.caller.clone(),
            headers: HeaderMap::new(),
            uri: Uri::default(),
            extensions: Extensions::new(),
        };
        let mut attached = listener.attached.lock().await;
        listener.dirty.store(false, Ordering::Release);
        let interest = listener.interest().clone();
        let owners = self.owners(&visit, &interest, at_most / 2).await;
        let uris = gateway.spec.resource_naming;
        let mut kept: Vec<Attached> = Vec::with_capacity(attached.len());
        for (mount, mounted) in visit.places() {
            let credential = self
                .broker
                .credential(&listener.caller, &mount.server, &mounted.install);
            let credential = match credential.await {
                Ok(credential) => credential,
                Err(error) => {
                    tracing::info!(server = %mount.server.name, %error, "a server is not listened to");
                    continue;
                }
            };
            let mut wanted = interest.clone();
            let watched = owners.get(&mounted.install.name).cloned().unwrap_or_default();
            wanted.uris = watched.values().cloned().collect();
            // What a shared server logs may be about anybody's calls.
            wanted.log = wanted
                .log
                .filter(|_| matches!(mounted.install.owner, Owner::Personal(_)));
            let tasks = listener.watching.get(&mounted.install.name);
            wanted.tasks = tasks.map(|watched| watched.own()).unwrap_or_default();
            let hub = mounted.upstream.changes(&credential);
            let known = attached
                .iter()
                .position(|known| known.listening.is_at(&hub) && known.uris == uris);
            let listening = match known.map(|at| attached.swap_remove(at).listening) {
                Some(mut listening) => {
                    listening.change(wanted);
                    listening
                }
                None => {
                    let sink = listener.sink(uris, &mount.server.name);
                    hub.listen(wanted, Teller::of(sink, tasks))
                }
            };
            kept.push(Attached {
                listening,
                watched: Arc::new(watched),
                tasks: tasks.cloned(),
                uris,
            });
        }
        *attached = kept;
        let offers = attached.iter().map(async |known| {
            let left = deadline.saturating_duration_since(Instant::now());
            RpcResponse {
                watched: known.watched.clone(),
                tasks: known.tasks.clone(),
                offer: known.listening.offer(left).await,
            }
        });
        Agreed(join_all(offers).await)
    }

    /// Who is asked about which resource. Who does not say in time what it has may have anything.
    async fn owners(&self, visit: &Visit, interest: &Interest, at_most: Duration) -> HashMap<InstallName, Watched> {
        let mut owners: HashMap<InstallName, Watched> = HashMap::new();
        let at_most = if at_most.is_zero() {
            self.config.timeouts.list
        } else {
            at_most
        };
        let deadline = tokio::time::Instant::now() + at_most;
        for uri in &interest.uris {
            let asked = tokio::time::timeout_at(deadline, self.watched_at(visit, uri)).await;
            let places = asked.unwrap_or_else(|_| self.may_watch(visit, uri));
            for ((_, mounted), own) in places {
                let watched = owners.entry(mounted.install.name).or_default();
                watched.insert(uri.clone(), own);
            }
        }
        owners
    }
}

impl Listener {
    pub(crate) fn new(
        visit: &Visit,
        outbox: Outbox,
        interest: Interest,
        watching: Watching,
        desk: Option<Desk>,
    ) -> Arc<Self> {
        Arc::new(Self {
            watching,
            outbox: Arc::new(outbox),
            gateway: visit.gateway.spec.name.clone(),
            caller: visit.caller.clone(),
            interest: Mutex::new(interest),
            attached: tokio::sync::Mutex::default(),
            dirty: AtomicBool::new(false),
            door: Mutex::default(),
            asides: Asides::new(desk),
        })
    }

    /// Notes what the client came in with, as it did last.
    fn came_in(&self, visit: &Visit) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(Door {
            uri: visit.uri.clone(),
            headers: visit.headers.clone(),
            extensions: visit.extensions.clone(),
        });
    }

    /// The head of a request like the one that opened the stream.
    fn head(&self) -> Option<Parts> {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let door = door.as_ref()?;
        let (mut head, ()) = Request::new(()).into_parts();
        head.uri = door.uri.clone();
        head.headers = door.headers.clone();
        head.extensions = door.extensions.clone();
        Some(head)
    }

    /// Where a server's changes are told.
    fn sink(&self, uris: ResourceNaming, server: &ServerName) -> Arc<dyn Sink> {
        match uris {
            ResourceNaming::Prefix => Arc::new(Renaming::new(server.clone(), self.outbox.clone())),
            _ => self.outbox.clone(),
        }
    }

    fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wants these resources and this level from now on, once it is attached again; says whether that is something else.
    pub(crate) fn want(&self, uris: BTreeSet<Arc<str>>, log: Option<LogLevel>) -> bool {
        let mut interest = self.interest();
        let changed = interest.uris != uris || interest.log != log;
        if changed {
            interest.uris = uris;
            interest.log = log;
            self.dirty.store(true, Ordering::Release);
        }
        changed
    }

    /// Whether something else is wanted than what is listened to.
    fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    fn lists_changed(&self) {
        let wanted = self.interest().lists;
        for list in List::ALL.into_iter().filter(|list| wanted[*list as usize]) {
            self.outbox.tell(&Change::List(list));
        }
    }

    /// Ends all streams: the session is over.
    pub(crate) fn close(&self) {
        self.outbox.end(End::Graceful);
        self.asides.clear();
        if let Ok(mut attached) = self.attached.try_lock() {
            attached.clear();
        }
    }

    /// Listens no more.
    async fn detach(&self) {
        self.outbox.forget_sent();
        self.asides.clear();
        self.attached.lock().await.clear();
        self.dirty.store(true, Ordering::Release);
    }
}

impl Agreed {
    /// Whether some server tells of a resource, or may yet; else why not.
    pub(crate) fn of(&self, uri: &str) -> Result<(), ErrorObject> {
        let mut refusal: Option<ErrorObject> = None;
        let asked = self.0.iter();
        let mut asked = asked
            .filter_map(|answer| Some((answer.watched.get(uri)?, &answer.offer)))
            .peekable();
        if asked.peek().is_none() {
            return Err(ErrorObject::invalid_params("no server has this resource"));
        }
        for (own, offer) in asked {
            let Some(offer) = offer else { return Ok(()) };
            match offer.refused.get(own) {
                None if offer.live => return Ok(()),
                None => {}
                Some(error) => match &refusal {
                    Some(known) if known.code != error::METHOD_NOT_FOUND => {}
                    _ => refusal = Some(error.clone()),
                },
            }
        }
        Err(refusal.unwrap_or_else(|| ErrorObject::internal("no server can be listened to now; try again")))
    }

    /// The tasks that servers tell of, or may yet, as the client knows them.
    pub(crate) fn tasks(&self) -> BTreeSet<Arc<str>> {
        let told = |answer: &RpcResponse| {
            let watched = answer.tasks.as_ref()?;
            let own = match &answer.offer {
                Some(offer) => offer.tasks.clone(),
                None => watched.own(),
            };
            Some(watched.known(&own).cloned().collect::<Vec<_>>())
        };
        self.0.iter().filter_map(told).flatten().collect()
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}
