//! What clients are told outside of calls: by `subscriptions/listen` (modern) or on the GET streams of a session (legacy).
//!
//! Each has a [`Subscriber`], which waits at the hubs of all servers that its caller reaches. A hub tells its changes into
//! the listener's [`NotificationQueue`], from which the open stream takes them: nothing runs for a stream that nothing happens to.

mod body;
mod levels;
mod limits;
mod listen;
mod queue;
mod sent_log;
mod session_stream;
mod subscribe;
mod uri_rewriting;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{Extensions, HeaderMap, Request, Uri, request::Parts};
use portolan_client::notifications::{
    GrantedFilter, ListKind, Listening, NotificationFilter, NotificationSink, ServerNotification,
};
use portolan_core::{Caller, GatewayName, InstallName, Owner, ResourceNaming, ServerName};
use portolan_wire::{
    error::{self, ErrorObject},
    level::LogLevel,
};
use tokio_util::task::TaskTracker;

pub(crate) use self::{
    body::StreamBody,
    levels::level,
    queue::{End, NotificationQueue, Reader},
};
use self::{limits::StreamLimits, session_stream::SessionStreams, uri_rewriting::UriRewritingSink};
use crate::{
    config::GatewayConfig,
    replicas::Replicas,
    reply::Rejection,
    routing::{PublishedGateway, RequestContext, Resolver},
    seal::TokenKeys,
    server_requests::{ServerRequests, SessionRequester},
    sessions::{Session, SessionSubscriber, Sessions},
    tasks::{TaskNotifier, WatchedTasks, Watching},
};

/// The open streams of a gateway outside of calls, and what they are told.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    config: Arc<GatewayConfig>,
    keys: Arc<TokenKeys>,
    resolver: Arc<Resolver>,
    sessions: Arc<Sessions>,
    replicas: Arc<Replicas>,
    server_requests: Arc<ServerRequests>,
    background: TaskTracker,
    subscribers: Mutex<Vec<Weak<Subscriber>>>,
    limits: StreamLimits,
    /// Whether the end has begun: then no stream is opened any more.
    draining: AtomicBool,
}

/// Somebody who is to be told, and where it waits for that.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) queue: Arc<NotificationQueue>,
    pub(crate) gateway: GatewayName,
    pub(crate) caller: Arc<Caller>,
    filter: Mutex<NotificationFilter>,
    /// The tasks of which it is to be told.
    watching: Watching,
    attached: tokio::sync::Mutex<Vec<FeedSubscription>>,
    /// Whether something else is wanted than what is listened to.
    dirty: AtomicBool,
    /// What the client came in with, to see whether it may still come in.
    auth_context: Mutex<Option<AuthContext>>,
    /// What servers say on the streams of the session's own.
    session_streams: Option<Arc<SessionStreams>>,
}

/// A place at the hub of one server.
#[derive(Debug)]
struct FeedSubscription {
    listening: Listening,
    watched: Arc<Watched>,
    tasks: Option<Arc<WatchedTasks>>,
    /// How the client is told of resources there.
    uris: ResourceNaming,
}

struct AuthContext {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

/// What the servers together have agreed to.
#[derive(Debug, Default)]
pub(crate) struct AgreedFilter(Vec<Agreed>);

/// What one server has agreed to of what is wanted there; nothing if that is not known yet.
#[derive(Debug)]
struct Agreed {
    watched: Arc<Watched>,
    tasks: Option<Arc<WatchedTasks>>,
    granted: Option<Arc<GrantedFilter>>,
}

/// Resources by the URIs that the client has for them, each with that of its server.
type Watched = BTreeMap<Arc<str>, Arc<str>>;

impl Subscriptions {
    pub(crate) fn new(
        config: &Arc<GatewayConfig>,
        keys: &Arc<TokenKeys>,
        resolver: &Arc<Resolver>,
        sessions: &Arc<Sessions>,
        replicas: &Arc<Replicas>,
        server_requests: &Arc<ServerRequests>,
        background: &TaskTracker,
    ) -> Self {
        Self {
            limits: StreamLimits::new(config.limits.listens, config.limits.streams),
            config: config.clone(),
            keys: keys.clone(),
            resolver: resolver.clone(),
            sessions: sessions.clone(),
            replicas: replicas.clone(),
            server_requests: server_requests.clone(),
            background: background.clone(),
            subscribers: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// How many streams are open.
    pub(crate) fn count(&self) -> usize {
        self.limits.count()
    }

    /// Ends all streams, and opens no more.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for subscriber in self.all() {
            subscriber.queue.end(End::Graceful);
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn note(&self, subscriber: &Arc<Subscriber>) {
        self.lock().push(Arc::downgrade(subscriber));
    }

    pub(crate) fn all(&self) -> Vec<Arc<Subscriber>> {
        let mut subscribers = self.lock();
        subscribers.retain(|subscriber| subscriber.strong_count() > 0);
        if subscribers.capacity() > 4 * subscribers.len() + 64 {
            subscribers.shrink_to_fit();
        }
        subscribers.iter().filter_map(Weak::upgrade).collect()
    }

    fn of(&self, gateway: &GatewayName) -> Vec<Arc<Subscriber>> {
        let mut all = self.all();
        all.retain(|subscriber| subscriber.gateway == *gateway);
        all
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Subscriber>>> {
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A gateway serves something else now, or is served no more: its subscribers are told, and subscribe to the servers
    /// that are there now.
    pub(crate) fn republished(self: &Arc<Self>, gateway: &GatewayName, published: Option<Arc<PublishedGateway>>) {
        let subscribers = self.of(gateway);
        let Some(published) = published else {
            subscribers
                .iter()
                .for_each(|subscriber| subscriber.queue.end(End::Graceful));
            return;
        };
        for subscriber in subscribers {
            subscriber.lists_changed();
            subscriber.dirty.store(true, Ordering::Release);
            self.attach_later(&subscriber, &published);
        }
    }

    /// Attaches a subscriber in the background.
    pub(crate) fn attach_later(self: &Arc<Self>, subscriber: &Arc<Subscriber>, gateway: &Arc<PublishedGateway>) {
        let (subscriptions, subscriber, gateway) = (self.clone(), subscriber.clone(), gateway.clone());
        self.background.spawn(async move {
            subscriptions.attach(&subscriber, &gateway, Duration::ZERO).await;
        });
    }

    /// Opens a GET stream of a session; `from` is the stream and the last event that the client goes on after.
    pub(crate) fn open_session_stream(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        from: Option<(crate::replicas::Handle, u64)>,
    ) -> Result<(Reader, impl Send + 'static), Rejection> {
        if self.is_draining() {
            return Err(listen::closing());
        }
        let permit = self.limits.stream().map_err(|full| listen::crowded(&full))?;
        let subscriber = self.session_subscriber(session, context);
        let limit = self.config.limits.session_streams;
        let Some(reader) = subscriber.queue.open(limit, from) else {
            let what = "streams of one session";
            return Err(listen::crowded(&portolan_core::Error::Exhausted { what, limit }));
        };
        subscriber.note_request(context);
        session.conversation.follow_open_sessions();
        self.attach_later(&subscriber, &context.gateway);
        Ok((reader, (session.clone(), permit)))
    }

    /// The subscriber of a session, made when it is first needed.
    fn session_subscriber(self: &Arc<Self>, session: &Session, context: &RequestContext) -> Arc<Subscriber> {
        let make = || -> Arc<dyn SessionSubscriber> {
            let filter = NotificationFilter {
                lists: ListKind::ALL.map(|_| true),
                uris: session.subscriptions(),
                tasks: BTreeSet::new(),
                log: session.conversation.level(),
                elicitations: true,
            };
            let queue = NotificationQueue::new(None, self.config.limits.stream_queue);
            let requester = SessionRequester::new(&self.server_requests, session);
            let subscriber = Subscriber::new(context, queue, filter, Watching::new(), Some(requester));
            if let Some(streams) = &subscriber.session_streams {
                session.conversation.read_streams_with(streams.clone());
            }
            self.note(&subscriber);
            subscriber
        };
        concrete(session.subscriber_or(make))
    }

    /// The subscriber of a session, if there is one.
    pub(crate) fn known_subscriber(&self, session: &Session) -> Option<Arc<Subscriber>> {
        session.subscriber().map(concrete)
    }

    /// Waits at the hubs of all servers that the listener's caller reaches, and there only; gives what they agree to
    /// within a time. Of a resource the server that has it is asked, or those that may have it.
    pub(crate) async fn attach(
        &self,
        subscriber: &Subscriber,
        gateway: &Arc<PublishedGateway>,
        at_most: Duration,
    ) -> AgreedFilter {
        let deadline = Instant::now() + at_most;
        let context = RequestContext {
            gateway: gateway.clone(),
            caller: subscriber.caller.clone(),
            headers: HeaderMap::new(),
            uri: Uri::default(),
            extensions: Extensions::new(),
            request_id: "".into(),
        };
        let mut attached = subscriber.attached.lock().await;
        subscriber.dirty.store(false, Ordering::Release);
        let filter = subscriber.filter().clone();
        let owners = self.owners(&context, &filter, at_most / 2).await;
        let uris = gateway.spec.resource_naming;
        let mut kept: Vec<FeedSubscription> = Vec::with_capacity(attached.len());
        for (route, install) in context.places() {
            let credential = match self.resolver.credential(&context, (route, install), None).await {
                Ok(credential) => credential,
                Err(error) => {
                    tracing::info!(server = %route.server.name, %error, "a server is not listened to");
                    continue;
                }
            };
            let mut wanted = filter.clone();
            let watched = owners.get(&install.install.name).cloned().unwrap_or_default();
            wanted.uris = watched.values().cloned().collect();
            // What a shared server logs may be about anybody's calls.
            wanted.log = wanted
                .log
                .filter(|_| matches!(install.install.owner, Owner::Personal(_)));
            let tasks = subscriber.watching.get(&install.install.name);
            wanted.tasks = tasks.map(|watched| watched.own()).unwrap_or_default();
            let feed = install.upstream.notifications(&credential);
            let known = attached
                .iter()
                .position(|known| known.listening.is_at(&feed) && known.uris == uris);
            let listening = match known.map(|at| attached.swap_remove(at).listening) {
                Some(mut listening) => {
                    listening.change(wanted);
                    listening
                }
                None => {
                    let sink = subscriber.sink(uris, &route.server.name);
                    feed.listen(wanted, TaskNotifier::of(sink, tasks))
                }
            };
            kept.push(FeedSubscription {
                listening,
                watched: Arc::new(watched),
                tasks: tasks.cloned(),
                uris,
            });
        }
        *attached = kept;
        let offers = attached.iter().map(async |known| {
            let left = deadline.saturating_duration_since(Instant::now());
            Agreed {
                watched: known.watched.clone(),
                tasks: known.tasks.clone(),
                granted: known.listening.granted(left).await,
            }
        });
        AgreedFilter(join_all(offers).await)
    }

    /// Who is asked about which resource. Who does not say in time what it has may have anything.
    async fn owners(
        &self,
        context: &RequestContext,
        filter: &NotificationFilter,
        at_most: Duration,
    ) -> HashMap<InstallName, Watched> {
        let mut owners: HashMap<InstallName, Watched> = HashMap::new();
        let at_most = if at_most.is_zero() {
            self.config.timeouts.list
        } else {
            at_most
        };
        let deadline = tokio::time::Instant::now() + at_most;
        for uri in &filter.uris {
            let asked = tokio::time::timeout_at(deadline, self.resolver.watched_at(context, uri)).await;
            let limits = asked.unwrap_or_else(|_| self.resolver.may_watch(context, uri));
            for ((_, install), own) in limits {
                let watched = owners.entry(install.install.name).or_default();
                watched.insert(uri.clone(), own);
            }
        }
        owners
    }
}

/// The subscriber itself: there is no other implementation of the trait.
fn concrete(subscriber: &Arc<dyn SessionSubscriber>) -> Arc<Subscriber> {
    let subscriber: Arc<dyn Any + Send + Sync> = subscriber.clone();
    subscriber
        .downcast()
        .unwrap_or_else(|_| unreachable!("the subscriber of a session is a Subscriber"))
}

impl Subscriber {
    fn new(
        context: &RequestContext,
        queue: NotificationQueue,
        filter: NotificationFilter,
        watching: Watching,
        requester: Option<SessionRequester>,
    ) -> Arc<Self> {
        let queue = Arc::new(queue);
        Arc::new(Self {
            watching,
            session_streams: requester.map(|requester| Arc::new(SessionStreams::new(requester, queue.clone()))),
            queue,
            gateway: context.gateway.spec.name.clone(),
            caller: context.caller.clone(),
            filter: Mutex::new(filter),
            attached: tokio::sync::Mutex::default(),
            dirty: AtomicBool::new(false),
            auth_context: Mutex::default(),
        })
    }

    /// Notes what the client came in with, as it did last.
    fn note_request(&self, context: &RequestContext) {
        *self.auth_context.lock().unwrap_or_else(PoisonError::into_inner) = Some(AuthContext {
            uri: context.uri.clone(),
            headers: context.headers.clone(),
            extensions: context.extensions.clone(),
        });
    }

    /// The head of a request like the one that opened the stream.
    pub(crate) fn head(&self) -> Option<Parts> {
        let auth_context = self.auth_context.lock().unwrap_or_else(PoisonError::into_inner);
        let auth_context = auth_context.as_ref()?;
        let (mut head, ()) = Request::new(()).into_parts();
        head.uri = auth_context.uri.clone();
        head.headers = auth_context.headers.clone();
        head.extensions = auth_context.extensions.clone();
        Some(head)
    }

    /// Where a server's changes are told.
    fn sink(&self, uris: ResourceNaming, server: &ServerName) -> Arc<dyn NotificationSink> {
        match uris {
            ResourceNaming::Prefix => Arc::new(UriRewritingSink::new(server.clone(), self.queue.clone())),
            _ => self.queue.clone(),
        }
    }

    fn filter(&self) -> MutexGuard<'_, NotificationFilter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something else is wanted than what is listened to.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    /// Whether anybody reads, or has asked to be told later.
    pub(crate) fn is_wanted(&self, grace: Duration) -> bool {
        self.queue.is_read(grace) || !self.filter().uris.is_empty()
    }

    fn lists_changed(&self) {
        let wanted = self.filter().lists;
        for list in ListKind::ALL.into_iter().filter(|list| wanted[*list as usize]) {
            self.queue.tell(&ServerNotification::List(list));
        }
    }

    /// Listens no more.
    pub(crate) async fn detach(&self) {
        self.queue.forget_sent();
        if let Some(streams) = &self.session_streams {
            streams.clear();
        }
        self.attached.lock().await.clear();
        self.dirty.store(true, Ordering::Release);
    }
}

impl SessionSubscriber for Subscriber {
    fn close(&self) {
        self.queue.end(End::Graceful);
        if let Some(streams) = &self.session_streams {
            streams.clear();
        }
        if let Ok(mut attached) = self.attached.try_lock() {
            attached.clear();
        }
    }

    fn has_reader(&self) -> bool {
        self.queue.has_reader()
    }

    fn update(&self, uris: BTreeSet<Arc<str>>, log: Option<LogLevel>) -> bool {
        let mut filter = self.filter();
        let changed = filter.uris != uris || filter.log != log;
        if changed {
            filter.uris = uris;
            filter.log = log;
            self.dirty.store(true, Ordering::Release);
        }
        changed
    }
}

impl AgreedFilter {
    /// Whether some server tells of a resource, or may yet; else why not.
    pub(crate) fn of(&self, uri: &str) -> Result<(), ErrorObject> {
        let mut refusal: Option<ErrorObject> = None;
        let asked = self.0.iter();
        let mut asked = asked
            .filter_map(|answer| Some((answer.watched.get(uri)?, &answer.granted)))
            .peekable();
        if asked.peek().is_none() {
            return Err(ErrorObject::invalid_params("no server has this resource"));
        }
        for (own, granted) in asked {
            let Some(granted) = granted else { return Ok(()) };
            match granted.refused.get(own) {
                None if granted.live => return Ok(()),
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
        let told = |answer: &Agreed| {
            let watched = answer.tasks.as_ref()?;
            let own = match &answer.granted {
                Some(granted) => granted.tasks.clone(),
                None => watched.own(),
            };
            Some(watched.known(&own).cloned().collect::<Vec<_>>())
        };
        self.0.iter().filter_map(told).flatten().collect()
    }
}

impl std::fmt::Debug for AuthContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthContext")
    }
}
