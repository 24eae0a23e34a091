//! Follows a server behind a channel: the channel's notifications, and `subscriptions/listen` if the server is modern.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use portolan_core::{
    Backoff, Channel, ChannelNotification, ChannelRequest, Exchange, ExchangeEvent, Result, RpcResponse,
    ServerHandshake,
};
use portolan_wire::{
    envelope::Outcome,
    error::{ErrorObject, INVALID_PARAMS},
    level::LogLevel,
    method::Method,
    object::{self, RawObject},
};
use tokio::sync::broadcast::error::RecvError;

use crate::{
    notifications::{
        cooperative_yield::CooperativeYield,
        feed::{DesiredFilter, GrantedFilter, NotificationFeed},
        follow_end::FollowEnd,
        legacy, modern,
    },
    server_notifications::{ServerNotification, of_uri},
};

/// The interval of checks for a restart of the server, which loses its subscriptions.
const LOOKED: Duration = Duration::from_secs(5);
/// The deadline of a small request.
const SMALL: Duration = Duration::from_secs(15);
/// The duration of a listen before it is opened again.
const LISTEN: Duration = Duration::from_secs(24 * 3600);

/// Follows a server through its channel.
pub(crate) async fn follow(
    feed: &Arc<NotificationFeed>,
    channel: &Arc<dyn Channel>,
    backoff: &mut Backoff,
    grace: Duration,
) -> Result<FollowEnd> {
    let mut heard = channel.notifications();
    let hello = channel.handshake().await?;
    feed.reached();
    let mut asked = ChannelSubscriptions::new(feed, channel, &hello);
    let (mut wanted, mut unwanted) = (feed.watch(), std::pin::pin!(feed.unwanted(grace)));
    let mut looked = tokio::time::interval(LOOKED);
    looked.reset();
    backoff.reset();
    let mut cooperative = CooperativeYield::default();
    loop {
        cooperative.take().await;
        wanted.borrow_and_update();
        let desired = feed.desired();
        if asked.revision != Some(desired.revision) {
            let granted = asked.follow(desired).await?;
            feed.granted(granted);
        }
        tokio::select! {
            notification = heard.recv() => match notification {
                Ok(notification) => tell(feed, &notification),
                Err(RecvError::Lagged(_)) => feed.gap(),
                Err(RecvError::Closed) => return Ok(FollowEnd::Ended(None)),
            },
            event = asked.hear() => match event {
                Some(ExchangeEvent::Notification(notification)) => tell(feed, &notification),
                Some(ExchangeEvent::ServerRequest(_)) => {}
                _ => {
                    feed.gap();
                    return Ok(FollowEnd::Ended(None));
                }
            },
            _ = wanted.changed() => {}
            _ = looked.tick() => {
                if channel.handshake().await?.generation != hello.generation {
                    feed.gap();
                    return Ok(FollowEnd::Ended(Some(Duration::ZERO)));
                }
            }
            () = &mut unwanted => {
                asked.end().await;
                return Ok(FollowEnd::Unwanted);
            }
        }
    }
}

fn tell(feed: &NotificationFeed, notification: &ChannelNotification) {
    let method = Method::parse(&notification.method);
    if let Some(change) = ServerNotification::of(&method, notification.params.as_ref()) {
        feed.tell(&change);
    }
}

/// The subscriptions at one run of the server.
struct ChannelSubscriptions {
    channel: Arc<dyn Channel>,
    name: String,
    modern: bool,
    revision: Option<u64>,
    /// Legacy: by URI, the error of a refused subscription.
    uris: BTreeMap<Arc<str>, Option<ErrorObject>>,
    level: Option<LogLevel>,
    /// Modern: the open listen.
    listen: Option<Exchange>,
}

impl ChannelSubscriptions {
    fn new(feed: &NotificationFeed, channel: &Arc<dyn Channel>, hello: &ServerHandshake) -> Self {
        let lists = feed.lists.upgrade();
        let name = lists.map(|lists| lists.connection().config().name.clone());
        Self {
            channel: channel.clone(),
            name: name.unwrap_or_default(),
            modern: hello.modern,
            revision: None,
            uris: BTreeMap::new(),
            level: None,
            listen: None,
        }
    }

    async fn hear(&mut self) -> Option<ExchangeEvent> {
        match &mut self.listen {
            Some(listen) => listen.next().await,
            None => std::future::pending().await,
        }
    }

    async fn follow(&mut self, desired: DesiredFilter) -> Result<GrantedFilter> {
        self.revision = Some(desired.revision);
        if self.modern {
            return self.listen(desired).await;
        }
        if desired.log.is_some() && desired.log != self.level {
            self.level = desired.log;
            let mut params = RawObject::new();
            params.set("level", object::quote(desired.log.map_or("info", LogLevel::as_str)));
            // A server without logging responds with an error, which does no harm.
            let _ = self.ask(&Method::SetLevel, &params).await;
        }
        let gone: Vec<_> = self
            .uris
            .keys()
            .filter(|uri| !desired.uris.contains(*uri))
            .cloned()
            .collect();
        for uri in gone {
            if self.uris.remove(&uri).flatten().is_none() {
                let _ = self.ask(&Method::ResourcesUnsubscribe, &of_uri(&uri)).await;
            }
        }
        for uri in desired.uris {
            if !self.uris.contains_key(&uri) {
                let refused = legacy::refusal(self.ask(&Method::ResourcesSubscribe, &of_uri(&uri)).await);
                self.uris.insert(uri, refused);
            }
        }
        let refused = self.uris.iter();
        Ok(GrantedFilter {
            revision: desired.revision,
            live: true,
            refused: refused
                .filter_map(|(uri, refused)| Some((uri.clone(), refused.clone()?)))
                .collect(),
            tasks: Default::default(),
        })
    }

    /// Opens a listen for all wanted notifications; the old one is dropped once the new one is acknowledged.
    async fn listen(&mut self, desired: DesiredFilter) -> Result<GrantedFilter> {
        let params = modern::listen_params(&desired, &self.name);
        let request = ChannelRequest::new(Method::Listen.as_str(), Some(params.to_bytes()), LISTEN);
        let mut listen = self.channel.call(request).await?;
        let first = tokio::time::timeout(SMALL, listen.next()).await;
        let mut refused = HashMap::new();
        let mut tasks = BTreeSet::new();
        let mut live = true;
        match first {
            Ok(Some(ExchangeEvent::Notification(first))) => {
                tasks = modern::agreed_tasks(first.params.as_ref(), &desired.tasks);
                if let Some(agreed) = first.params.as_ref().and_then(modern::agreed_uris) {
                    let error = ErrorObject::new(INVALID_PARAMS, "the server sends no notifications for this resource");
                    let left = desired.uris.iter().filter(|uri| !agreed.contains(&***uri));
                    refused.extend(left.map(|uri| (uri.clone(), error.clone())));
                }
                self.listen = Some(listen);
            }
            Ok(Some(ExchangeEvent::Response(answer))) => {
                let error = match answer? {
                    RpcResponse::Error(raw) => ErrorObject::parse(&raw),
                    RpcResponse::Result(_) => None,
                };
                let error =
                    error.unwrap_or_else(|| ErrorObject::internal("the server ended subscriptions/listen at once"));
                refused.extend(desired.uris.iter().map(|uri| (uri.clone(), error.clone())));
                live = false;
            }
            // The acknowledgement may come later.
            _ => self.listen = Some(listen),
        }
        Ok(GrantedFilter {
            revision: desired.revision,
            live,
            refused,
            tasks,
        })
    }

    async fn ask(&self, method: &Method, params: &RawObject) -> Result<Outcome> {
        let request = ChannelRequest::new(method.as_str(), Some(params.to_bytes()), SMALL);
        Ok(match self.channel.call(request).await?.answer().await? {
            RpcResponse::Result(raw) => Outcome::Result(raw),
            RpcResponse::Error(raw) => Outcome::Error(raw),
        })
    }

    /// Ends the subscriptions: the server goes on to run for others.
    async fn end(&mut self) {
        for (uri, refused) in std::mem::take(&mut self.uris) {
            if refused.is_none() {
                let _ = self.ask(&Method::ResourcesUnsubscribe, &of_uri(&uri)).await;
            }
        }
    }
}
