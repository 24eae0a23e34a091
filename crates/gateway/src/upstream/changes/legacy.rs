//! A legacy server over HTTP: a GET stream, and `resources/subscribe` in the session that it belongs to.

mod stream;

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join_all;
use http::HeaderMap;
use portolan_core::{Error, Result, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Message, Outcome},
    error::ErrorObject,
    method::Method,
    object::RawObject,
};
use tokio_util::task::TaskTracker;

pub(crate) use self::stream::{GetStream, Heard};
use super::{
    Change,
    driver::Over,
    hub::{Hub, Offer, Wishes},
    of_uri,
    pace::{Breath, Pace},
};
use crate::{
    question::Abilities,
    upstream::{
        dialect::Dialects,
        events,
        http::HttpUpstream,
        legacy_version,
        session::{Open, UpstreamSession},
    },
};

/// How long the head of the stream is waited for before anything else is done: some servers send it with the first event.
const OPENING: Duration = Duration::from_millis(400);
/// Subscriptions that are asked for at once.
const AT_ONCE: usize = 16;

/// Follows a server in a session of the hub's own, which is ended with it.
pub(super) async fn follow(
    hub: &Arc<Hub>,
    http: &Arc<HttpUpstream>,
    dialects: &Dialects,
    pace: &mut Pace,
    grace: Duration,
) -> Result<Over> {
    let session = Held::new(http, &hub.credential);
    let version = legacy_version(None, &dialects.legacy_versions);
    let open = session
        .session
        .get(async || http.shake_hands(version, &hub.credential, Abilities::NONE).await)
        .await?;
    let mut stream = GetStream::new(http, &open, &hub.credential);
    let mut subscribed = Subscribed::default();
    let (mut wanted, mut unwanted) = (hub.watch(), std::pin::pin!(hub.unwanted(grace)));
    let mut breath = Breath::default();
    let mut heard = tokio::time::timeout(OPENING, stream.next()).await.ok();
    loop {
        match heard {
            Some(Heard::Message(message)) => {
                told(hub, http, &open, message);
                breath.take().await;
            }
            Some(Heard::Opened { gap }) => {
                pace.reset();
                if gap {
                    hub.gap();
                }
            }
            Some(Heard::Expired) => {
                session.session.expire(&open);
                hub.gap();
                return Ok(Over::Ended(Some(Duration::ZERO)));
            }
            Some(Heard::Mute) => return Ok(Over::Mute),
            None => {}
        }
        wanted.borrow_and_update();
        let wishes = hub.wishes();
        if subscribed.revision != Some(wishes.revision) {
            hub.offer(subscribed.follow(http, &open, &hub.credential, wishes).await);
        }
        heard = tokio::select! {
            heard = stream.next() => Some(heard),
            _ = wanted.changed() => None,
            () = &mut unwanted => return Ok(Over::Unwanted),
        };
    }
}

/// A message of the server on a stream that belongs to no client.
fn told(hub: &Arc<Hub>, http: &Arc<HttpUpstream>, open: &Arc<Open>, message: Message) {
    match message {
        // What is logged here belongs to nobody.
        Message::Notification(notification) => match Change::read(&notification) {
            Some(Change::Log { .. }) | None => {}
            Some(change) => hub.tell(&change),
        },
        Message::Request(request) => answer(http, open, &hub.credential, &request),
        Message::Response(_) => {}
    }
}

/// Answers a server that asks where nobody can be asked.
pub(crate) fn answer(
    http: &Arc<HttpUpstream>,
    open: &Arc<Open>,
    credential: &Arc<UpstreamCredential>,
    asked: &envelope::Request,
) {
    let text = match asked.method {
        Method::Ping => envelope::result(&asked.id, b"{}"),
        _ => envelope::error(Some(&asked.id), &ErrorObject::method_not_found(asked.method.as_str())),
    };
    let (http, open, credential) = (http.clone(), open.clone(), credential.clone());
    let tasks = http.tasks().clone();
    tasks.spawn(async move { http.tell(&open, &credential, text).await });
}

/// A small request within a session, and what is answered.
pub(crate) async fn ask(
    http: &HttpUpstream,
    open: &Open,
    credential: &UpstreamCredential,
    method: &Method,
    params: &RawObject,
) -> Result<Outcome> {
    let id = http.next_id();
    let headers = http.headers_in(open, credential, &HeaderMap::new());
    let text = envelope::request(&id, method, Some(&params.to_bytes()));
    let (head, body) = http.exchange(headers, text, credential, method.as_str()).await?;
    match events::outcome(&body) {
        Some(outcome) => Ok(outcome),
        None => Err(http.refused_with(head.status)),
    }
}

/// A session of the hub's own, which is ended when it is dropped.
struct Held {
    session: Arc<UpstreamSession>,
    tasks: TaskTracker,
}

impl Held {
    fn new(http: &Arc<HttpUpstream>, credential: &Arc<UpstreamCredential>) -> Self {
        Self {
            session: Arc::new(UpstreamSession::new(http, credential.clone())),
            tasks: http.tasks().clone(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let session = self.session.clone();
            self.tasks.spawn_on(async move { session.close().await }, &runtime);
        }
    }
}

/// What was subscribed to in a session.
#[derive(Default)]
struct Subscribed {
    revision: Option<u64>,
    /// By URI: nothing, or why not.
    uris: HashMap<Arc<str>, Option<ErrorObject>>,
}

impl Subscribed {
    /// Subscribes to what is wanted and is not subscribed to yet, and ends what is wanted no longer.
    async fn follow(
        &mut self,
        http: &HttpUpstream,
        open: &Open,
        credential: &UpstreamCredential,
        wishes: Wishes,
    ) -> Offer {
        let gone = self.uris.extract_if(|uri, _| !wishes.uris.contains(uri));
        let gone: Vec<_> = gone.filter(|(_, refused)| refused.is_none()).collect();
        for some in gone.chunks(AT_ONCE) {
            let asked = some.iter().map(|(uri, _)| {
                let params = of_uri(uri);
                async move { ask(http, open, credential, &Method::ResourcesUnsubscribe, &params).await }
            });
            // A server that does not know it any more is as good.
            join_all(asked).await;
        }
        let new: Vec<_> = wishes.uris.iter().filter(|uri| !self.uris.contains_key(*uri)).collect();
        for some in new.chunks(AT_ONCE) {
            let asked = some.iter().map(|uri| {
                let params = of_uri(uri);
                async move { ask(http, open, credential, &Method::ResourcesSubscribe, &params).await }
            });
            for (uri, asked) in some.iter().zip(join_all(asked).await) {
                self.uris.insert(Arc::clone(uri), refusal(asked));
            }
        }
        self.revision = Some(wishes.revision);
        Offer {
            revision: wishes.revision,
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

/// Why a subscription was refused, if it was.
pub(super) fn refusal(asked: Result<Outcome, Error>) -> Option<ErrorObject> {
    match asked {
        Ok(Outcome::Result(_)) => None,
        Ok(Outcome::Error(raw)) => Some(object(&raw)),
        Err(error) => Some(crate::reply::error_object(&error)),
    }
}

fn object(raw: &Bytes) -> ErrorObject {
    ErrorObject::parse(raw).unwrap_or_else(|| ErrorObject::internal("the server refuses"))
}
