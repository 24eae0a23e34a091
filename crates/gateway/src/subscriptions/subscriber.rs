//! One client that receives notifications: a listen, or the GET streams of one session.

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Extensions, HeaderMap, Request, Uri, request::Parts};
use portolan_client::notifications::{ListKind, Listening, NotificationFilter, NotificationSink, ServerNotification};
use portolan_core::{Caller, GatewayName, ResourceNaming, ServerName};
use portolan_wire::level::LogLevel;

use super::{
    Watched,
    queue::{End, NotificationQueue},
    session_stream::SessionStreams,
    uri_rewriting::UriRewritingSink,
};
use crate::{
    routing::RequestContext,
    server_requests::SessionRequester,
    sessions::SessionSubscriber,
    tasks::{WatchedTasks, Watching},
};

/// A receiver of notifications, with its queue and its subscriptions to the feeds of servers.
#[derive(Debug)]
pub(crate) struct Subscriber {
    pub(crate) queue: Arc<NotificationQueue>,
    pub(crate) gateway: GatewayName,
    pub(crate) caller: Arc<Caller>,
    filter: Mutex<NotificationFilter>,
    /// The tasks that the client subscribes to.
    pub(super) watching: Watching,
    pub(super) attached: tokio::sync::Mutex<Vec<FeedSubscription>>,
    /// Whether the filter differs from what `attached` subscribes to.
    dirty: AtomicBool,
    /// The head of the client's last request, to check that it may still have a stream.
    auth_context: Mutex<Option<AuthContext>>,
    /// The GET streams of the upstream sessions that belong to the client's session.
    pub(super) session_streams: Option<Arc<SessionStreams>>,
}

/// A subscription to the notification feed of one server.
#[derive(Debug)]
pub(super) struct FeedSubscription {
    pub(super) listening: Listening,
    pub(super) watched: Arc<Watched>,
    pub(super) tasks: Option<Arc<WatchedTasks>>,
    /// How the server's resources are named towards the client.
    pub(super) uris: ResourceNaming,
}

/// The parts of a request that authenticators read.
struct AuthContext {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

/// Returns the subscriber behind the trait, which has no other implementation.
pub(super) fn concrete(subscriber: &Arc<dyn SessionSubscriber>) -> Arc<Subscriber> {
    let subscriber: Arc<dyn Any + Send + Sync> = subscriber.clone();
    subscriber
        .downcast()
        .unwrap_or_else(|_| unreachable!("the subscriber of a session is a Subscriber"))
}

impl Subscriber {
    pub(super) fn new(
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

    /// Stores the head of the client's last request.
    pub(super) fn note_request(&self, context: &RequestContext) {
        *self.auth_context.lock().unwrap_or_else(PoisonError::into_inner) = Some(AuthContext {
            uri: context.uri.clone(),
            headers: context.headers.clone(),
            extensions: context.extensions.clone(),
        });
    }

    /// Returns a request head like that of the client's last request.
    pub(crate) fn head(&self) -> Option<Parts> {
        let auth_context = self.auth_context.lock().unwrap_or_else(PoisonError::into_inner);
        let auth_context = auth_context.as_ref()?;
        let (mut head, ()) = Request::new(()).into_parts();
        head.uri = auth_context.uri.clone();
        head.headers = auth_context.headers.clone();
        head.extensions = auth_context.extensions.clone();
        Some(head)
    }

    /// Returns the sink for the notifications of a server.
    pub(super) fn sink(&self, uris: ResourceNaming, server: &ServerName) -> Arc<dyn NotificationSink> {
        match uris {
            ResourceNaming::Prefix => Arc::new(UriRewritingSink::new(server.clone(), self.queue.clone())),
            _ => self.queue.clone(),
        }
    }

    pub(super) fn filter(&self) -> MutexGuard<'_, NotificationFilter> {
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the filter differs from the current feed subscriptions.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Acquire)
    }

    pub(super) fn set_dirty(&self, dirty: bool) {
        self.dirty.store(dirty, Ordering::Release);
    }

    /// Returns whether a stream is open, was within `grace`, or the client subscribes to resources.
    pub(crate) fn is_wanted(&self, grace: Duration) -> bool {
        self.queue.is_read(grace) || !self.filter().uris.is_empty()
    }

    /// Notifies the client that all lists it subscribes to changed.
    pub(super) fn lists_changed(&self) {
        let lists = self.filter().lists;
        for list in ListKind::ALL.into_iter().filter(|list| lists[*list as usize]) {
            self.queue.tell(&ServerNotification::List(list));
        }
    }

    /// Ends all feed subscriptions.
    pub(crate) async fn detach(&self) {
        self.queue.clear_sent();
        if let Some(streams) = &self.session_streams {
            streams.clear();
        }
        self.attached.lock().await.clear();
        self.set_dirty(true);
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
            self.set_dirty(true);
        }
        changed
    }
}

impl std::fmt::Debug for AuthContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthContext")
    }
}
