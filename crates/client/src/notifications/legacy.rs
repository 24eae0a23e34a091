//! Follows a legacy server over HTTP: a GET stream, and `resources/subscribe` in its session.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use portolan_core::{Backoff, Error, Result, UpstreamCredential};
use portolan_wire::{
    envelope::{Message, Outcome},
    error::ErrorObject,
    method::Method,
};
use tokio_util::task::TaskTracker;

use crate::{
    capabilities::ClientCapabilities,
    era_cache::{SupportedEras, legacy_version},
    http_server::{
        HttpServer,
        get_stream::{GetStream, StreamEvent},
        open_session::{OpenSession, refuse_request, session_request},
    },
    notifications::{
        cooperative_yield::CooperativeYield,
        feed::{DesiredFilter, GrantedFilter, NotificationFeed},
        follow_end::FollowEnd,
    },
    server_notifications::{ServerNotification, of_uri},
    session::UpstreamSession,
};

/// How long to wait for the head of the stream: some servers send it with the first event.
const OPENING: Duration = Duration::from_millis(400);
/// The number of subscriptions that are requested at once.
const AT_ONCE: usize = 16;

/// Follows a server in a session of the feed's own.
pub(crate) async fn follow(
    feed: &Arc<NotificationFeed>,
    http: &Arc<HttpServer>,
    eras: &SupportedEras,
    backoff: &mut Backoff,
    grace: Duration,
) -> Result<FollowEnd> {
    let session = OwnedSession::new(http, &feed.credential);
    let version = legacy_version(None, &eras.legacy_versions);
    let open = session
        .session
        .get(async || {
            http.handshake(version, &feed.credential, ClientCapabilities::NONE.to_json())
                .await
        })
        .await?;
    feed.reached();
    let mut stream = GetStream::new(http, &open, &feed.credential);
    let mut subscribed = Subscribed::default();
    let (mut wanted, mut unwanted) = (feed.watch(), std::pin::pin!(feed.unwanted(grace)));
    let mut cooperative = CooperativeYield::default();
    let mut heard = tokio::time::timeout(OPENING, stream.next()).await.ok();
    loop {
        match heard {
            Some(StreamEvent::Message(message)) => {
                told(feed, http, &open, message);
                cooperative.take().await;
            }
            Some(StreamEvent::Opened { gap }) => {
                backoff.reset();
                if gap {
                    feed.gap();
                }
            }
            Some(StreamEvent::Expired) => {
                session.session.expire(&open);
                feed.gap();
                return Ok(FollowEnd::Ended(Some(Duration::ZERO)));
            }
            Some(StreamEvent::Unsupported) => return Ok(FollowEnd::Unsupported),
            None => {}
        }
        wanted.borrow_and_update();
        let desired = feed.desired();
        if subscribed.revision != Some(desired.revision) {
            feed.granted(subscribed.follow(http, &open, &feed.credential, desired).await);
        }
        heard = tokio::select! {
            heard = stream.next() => Some(heard),
            _ = wanted.changed() => None,
            () = &mut unwanted => return Ok(FollowEnd::Unwanted),
        };
    }
}

/// Handles a message of the GET stream.
fn told(feed: &Arc<NotificationFeed>, http: &Arc<HttpServer>, open: &Arc<OpenSession>, message: Message) {
    match message {
        // Log messages of a shared stream belong to no listener.
        Message::Notification(notification) => match ServerNotification::read(&notification) {
            Some(ServerNotification::Log { .. }) | None => {}
            Some(change) => feed.tell(&change),
        },
        Message::Request(request) => refuse_request(http, open, &feed.credential, &request),
        Message::Response(_) => {}
    }
}

/// A session of the feed's own. It is ended on drop.
struct OwnedSession {
    session: Arc<UpstreamSession>,
    tasks: TaskTracker,
}

impl OwnedSession {
    fn new(http: &Arc<HttpServer>, credential: &Arc<UpstreamCredential>) -> Self {
        Self {
            session: Arc::new(UpstreamSession::new(http, credential.clone())),
            tasks: http.tasks().clone(),
        }
    }
}

impl Drop for OwnedSession {
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let session = self.session.clone();
            self.tasks.spawn_on(async move { session.close().await }, &runtime);
        }
    }
}

/// The subscriptions in a session.
#[derive(Default)]
struct Subscribed {
    revision: Option<u64>,
    /// By URI: the error of a refused subscription.
    uris: HashMap<Arc<str>, Option<ErrorObject>>,
}

impl Subscribed {
    /// Subscribes to resources that are newly wanted, and unsubscribes from the others.
    async fn follow(
        &mut self,
        http: &HttpServer,
        open: &OpenSession,
        credential: &UpstreamCredential,
        desired: DesiredFilter,
    ) -> GrantedFilter {
        let gone = self.uris.extract_if(|uri, _| !desired.uris.contains(uri));
        let gone: Vec<_> = gone.filter(|(_, refused)| refused.is_none()).collect();
        for some in gone.chunks(AT_ONCE) {
            let asked = some.iter().map(|(uri, _)| {
                let params = of_uri(uri);
                async move { session_request(http, open, credential, &Method::ResourcesUnsubscribe, &params).await }
            });
            // A server that does not know the subscription responds with an error, which does no harm.
            join_all(asked).await;
        }
        let new: Vec<_> = desired
            .uris
            .iter()
            .filter(|uri| !self.uris.contains_key(*uri))
            .collect();
        for some in new.chunks(AT_ONCE) {
            let asked = some.iter().map(|uri| {
                let params = of_uri(uri);
                async move { session_request(http, open, credential, &Method::ResourcesSubscribe, &params).await }
            });
            for (uri, asked) in some.iter().zip(join_all(asked).await) {
                self.uris.insert(Arc::clone(uri), refusal(asked));
            }
        }
        self.revision = Some(desired.revision);
        GrantedFilter {
            revision: desired.revision,
            live: true,
            refused: self
                .uris
                .iter()
                .filter_map(|(uri, refused)| Some((uri.clone(), refused.clone()?)))
                .collect(),
            tasks: Default::default(),
        }
    }
}

/// Returns the error of a refused subscription.
pub(crate) fn refusal(asked: Result<Outcome, Error>) -> Option<ErrorObject> {
    match asked {
        Ok(Outcome::Result(_)) => None,
        Ok(Outcome::Error(raw)) => Some(object(&raw)),
        Err(error) => Some(crate::failure::error_object(&error)),
    }
}

fn object(raw: &Bytes) -> ErrorObject {
    ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the server refuses"))
}
