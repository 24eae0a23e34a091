//! Notifications outside of calls: `subscriptions/listen` of modern clients, and the GET streams of legacy sessions.
//!
//! Each has a [`Subscriber`], which subscribes to the notification feeds of all servers that its caller reaches. A
//! feed puts its notifications into the subscriber's [`NotificationQueue`], and the open stream reads them from there:
//! an idle stream needs no task.

mod agreed;
mod body;
mod levels;
mod limits;
mod listen;
mod queue;
mod sent_log;
mod session_stream;
mod subscribe;
mod subscriber;
mod uri_rewriting;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use http::{Extensions, HeaderMap, Uri};
use portolan_client::notifications::{ListKind, NotificationFilter};
use portolan_core::{GatewayName, InstallName, Owner, ResourceNaming, UpstreamCredential};
use tokio_util::task::TaskTracker;

use self::{
    agreed::{Agreed, AgreedFilter},
    limits::StreamLimits,
    subscriber::{FeedSubscription, concrete},
};
pub(crate) use self::{
    body::StreamBody,
    levels::level,
    queue::{End, NotificationQueue, Reader},
    subscriber::Subscriber,
};
use crate::{
    config::GatewayConfig,
    replicas::Replicas,
    reply::Rejection,
    request_label::RequestLabel,
    routing::{Place, PublishedGateway, Republished, RequestContext, Resolver},
    seal::TokenKeys,
    server_requests::{ServerRequests, SessionRequester},
    sessions::{Session, SessionSubscriber, Sessions},
    tasks::{TaskNotifier, Watching},
};

/// The subscribers of all gateways, and their open streams.
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
    /// Whether the gateway is shutting down, so that no stream is opened any more.
    draining: AtomicBool,
}

/// Resources by the client's URI, each with the server's URI.
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

    /// Returns the number of open streams.
    pub(crate) fn count(&self) -> usize {
        self.limits.count()
    }

    /// Ends all streams, and refuses new ones.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for subscriber in self.all() {
            subscriber.queue.end(End::Graceful);
        }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    fn register(&self, subscriber: &Arc<Subscriber>) {
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

    /// Handles the removal of a gateway: ends the streams of its subscribers.
    pub(crate) fn withdrawn(&self, gateway: &GatewayName) {
        for subscriber in self.of(gateway) {
            subscriber.queue.end(End::Graceful);
        }
    }

    /// Handles a changed gateway: notifies the subscribers that see a difference, and subscribes them to its current
    /// servers.
    pub(crate) fn republished(self: &Arc<Self>, republished: &Republished) {
        let gateway = &republished.after;
        for subscriber in self.of(&gateway.spec.name) {
            if republished.concerns(&subscriber.caller) {
                subscriber.lists_changed();
                subscriber.set_dirty(true);
                self.attach_later(&subscriber, gateway);
            }
        }
    }

    /// Attaches a subscriber in the background.
    pub(crate) fn attach_later(self: &Arc<Self>, subscriber: &Arc<Subscriber>, gateway: &Arc<PublishedGateway>) {
        let (subscriptions, subscriber, gateway) = (self.clone(), subscriber.clone(), gateway.clone());
        self.background.spawn(async move {
            subscriptions.attach(&subscriber, &gateway, Duration::ZERO).await;
        });
    }

    /// Opens a GET stream of a session. `from` is the stream and the last event after which the client resumes.
    pub(crate) fn open_session_stream(
        self: &Arc<Self>,
        context: &RequestContext,
        session: &Arc<Session>,
        from: Option<(crate::replicas::Handle, u64)>,
    ) -> Result<(Reader, impl Send + 'static), Rejection> {
        if self.is_draining() {
            return Err(listen::shutting_down());
        }
        let permit = self.limits.stream().map_err(|full| listen::limit_reached(&full))?;
        let subscriber = self.session_subscriber(session, context);
        let limit = self.config.limits.session_streams;
        let Some(reader) = subscriber.queue.open(limit, from) else {
            let what = "streams of one session";
            return Err(listen::limit_reached(&portolan_core::Error::Exhausted { what, limit }));
        };
        subscriber.note_request(context);
        session.conversation.follow_open_sessions();
        self.attach_later(&subscriber, &context.gateway);
        Ok((reader, (session.clone(), permit)))
    }

    /// Returns the subscriber of a session, creating it if there is none.
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
            self.register(&subscriber);
            subscriber
        };
        concrete(session.subscriber_or(make))
    }

    /// Returns the subscriber of a session, if there is one.
    pub(crate) fn known_subscriber(&self, session: &Session) -> Option<Arc<Subscriber>> {
        session.subscriber().map(concrete)
    }

    /// Subscribes to the notification feeds of all servers that the subscriber's caller reaches, and ends the other
    /// subscriptions. Returns what the servers grant within `at_most`.
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
            request_id: RequestLabel::new(0),
        };
        let mut attached = subscriber.attached.lock().await;
        subscriber.set_dirty(false);
        let filter = subscriber.filter().clone();
        let owners = self.owners(&context, &filter, at_most / 2).await;
        let uris = gateway.spec.resource_naming;
        let mut kept = Vec::with_capacity(attached.len());
        for place in context.places() {
            match self.resolver.credential(&context, place, None).await {
                Ok(credential) => {
                    let watched = owners.get(&place.1.name).cloned().unwrap_or_default();
                    kept.push(follow_feed(
                        subscriber,
                        uris,
                        place,
                        &credential,
                        &filter,
                        watched,
                        &mut attached,
                    ));
                }
                Err(error) => {
                    tracing::info!(server = %place.0.server.name, %error, "a server's notifications are not received");
                }
            }
        }
        *attached = kept;
        agreed(&attached, deadline).await
    }

    /// Finds the servers to subscribe at for each resource. A server that has not listed its resources in time may
    /// have any.
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
            let located = tokio::time::timeout_at(deadline, self.resolver.watched_at(context, uri)).await;
            let places = located.unwrap_or_else(|_| self.resolver.may_watch(context, uri));
            for ((_, install), own) in places {
                let watched = owners.entry(install.name).or_default();
                watched.insert(uri.clone(), own);
            }
        }
        owners
    }
}

/// Subscribes to the feed of one server, or changes the subscription in `attached` to that feed.
fn follow_feed(
    subscriber: &Subscriber,
    uris: ResourceNaming,
    (route, install): Place<'_>,
    credential: &Arc<UpstreamCredential>,
    filter: &NotificationFilter,
    watched: Watched,
    attached: &mut Vec<FeedSubscription>,
) -> FeedSubscription {
    let mut filter = filter.clone();
    filter.uris = watched.values().cloned().collect();
    // The log messages of a shared server may be about the calls of others.
    filter.log = filter.log.filter(|_| matches!(install.owner, Owner::Personal(_)));
    let tasks = subscriber.watching.get(&install.name);
    filter.tasks = tasks.map(|watched| watched.own()).unwrap_or_default();
    let feed = route.upstream(install).notifications(credential);
    let known = attached
        .iter()
        .position(|known| known.listening.is_at(&feed) && known.uris == uris);
    let listening = match known.map(|at| attached.swap_remove(at).listening) {
        Some(mut listening) => {
            listening.change(filter);
            listening
        }
        None => {
            let sink = subscriber.sink(uris, &route.server.name);
            feed.listen(filter, TaskNotifier::of(sink, tasks))
        }
    };
    FeedSubscription {
        listening,
        watched: Arc::new(watched),
        tasks: tasks.cloned(),
        uris,
    }
}

/// Waits until `deadline` for the answers of the servers.
async fn agreed(attached: &[FeedSubscription], deadline: Instant) -> AgreedFilter {
    let answers = attached.iter().map(async |subscription| {
        let left = deadline.saturating_duration_since(Instant::now());
        Agreed {
            watched: subscription.watched.clone(),
            tasks: subscription.tasks.clone(),
            granted: subscription.listening.granted(left).await,
        }
    });
    AgreedFilter::new(join_all(answers).await)
}
