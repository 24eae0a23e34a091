//! Follows a modern server over HTTP: `subscriptions/listen` (2026-07-28, basic/utilities/subscriptions).

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    future::Future,
    pin::Pin,
    sync::Arc,
};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use portolan_core::{Backoff, Error, Failure, FailureKind, Result, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Incoming, Message, Notification, Outcome},
    error::{ErrorObject, INVALID_PARAMS, METHOD_NOT_FOUND},
    meta,
    method::Method,
    object::{self, RawObject},
    sse::Decoder,
};

use crate::{
    client_meta::modern_meta,
    collect,
    collect::essence,
    http_server::HttpServer,
    http1::body::ResponseBody,
    notifications::{
        cooperative_yield::CooperativeYield,
        feed::{DesiredFilter, GrantedFilter, NotificationFeed},
        follow_end::FollowEnd,
    },
    server_notifications::{ListKind, ServerNotification},
    tasks,
};

/// The member of a filter that names tasks.
pub const TASK_IDS: &str = "taskIds";

/// Follows a server by one listen. When more resources are wanted, another listen is opened before the old one is dropped,
/// so that no notification is lost.
pub(crate) async fn follow(
    feed: &Arc<NotificationFeed>,
    http: &Arc<HttpServer>,
    backoff: &mut Backoff,
    grace: std::time::Duration,
) -> Result<FollowEnd> {
    let (mut wanted, mut unwanted) = (feed.watch(), std::pin::pin!(feed.unwanted(grace)));
    let mut current: Option<Listen> = None;
    let mut opening: Option<Opening> = Some(open(http, &feed.credential, feed.desired()));
    wanted.borrow_and_update();
    let mut cooperative = CooperativeYield::default();
    loop {
        tokio::select! {
            opened = maybe(opening.as_mut()) => {
                opening = None;
                let (listen, granted) = match opened {
                    Ok(Some(opened)) => opened,
                    Ok(None) => {
                        feed.reached();
                        return Ok(FollowEnd::Unsupported);
                    }
                    Err(error) => return Err(error),
                };
                if current.is_none() {
                    backoff.reset();
                    feed.reached();
                }
                current = Some(listen);
                feed.granted(granted);
            }
            heard = hear(current.as_mut()) => match heard {
                Some(notification) => {
                    if let Some(change) = ServerNotification::read(&notification) {
                        feed.tell(&change);
                    }
                    cooperative.take().await;
                }
                None => {
                    feed.gap();
                    return Ok(FollowEnd::Ended(None));
                }
            },
            _ = wanted.changed() => {
                wanted.borrow_and_update();
                let desired = feed.desired();
                match &current {
                    // The open listen covers the wanted notifications.
                    Some(listen) if opening.is_none() && listen.covers(&desired) => feed.granted(listen.granted(desired.revision)),
                    _ => opening = Some(open(http, &feed.credential, desired)),
                }
            }
            () = &mut unwanted => return Ok(FollowEnd::Unwanted),
        }
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Option<(Listen, GrantedFilter)>>> + Send>>;

async fn maybe(opening: Option<&mut Opening>) -> Result<Option<(Listen, GrantedFilter)>> {
    match opening {
        Some(opening) => opening.await,
        None => std::future::pending().await,
    }
}

async fn hear(listen: Option<&mut Listen>) -> Option<Notification> {
    match listen {
        Some(listen) => listen.next().await,
        None => std::future::pending().await,
    }
}

/// A listen that the server has acknowledged.
struct Listen {
    body: ResponseBody,
    decoder: Decoder,
    asked: HashSet<Arc<str>>,
    refused: HashMap<Arc<str>, ErrorObject>,
    tasks: BTreeSet<Arc<str>>,
    agreed_tasks: BTreeSet<Arc<str>>,
}

fn open(http: &Arc<HttpServer>, credential: &Arc<UpstreamCredential>, desired: DesiredFilter) -> Opening {
    let (http, credential) = (http.clone(), credential.clone());
    Box::pin(async move {
        let after = http.timeouts().handshake;
        match tokio::time::timeout(after, begin(&http, &credential, desired)).await {
            Ok(begun) => begun,
            Err(_) => Err(Error::Timeout {
                action: "the acknowledgement of subscriptions/listen".into(),
                after,
            }),
        }
    })
}

async fn begin(
    http: &HttpServer,
    credential: &UpstreamCredential,
    desired: DesiredFilter,
) -> Result<Option<(Listen, GrantedFilter)>> {
    let (head, body) = send(http, credential, &desired).await?.into_parts();
    let is_events = head
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| essence(value).eq_ignore_ascii_case("text/event-stream"));
    if head.status != StatusCode::OK || !is_events {
        return refused(http, head.status, body).await;
    }
    let mut listen = Listen {
        body,
        decoder: Decoder::new(http.limits().held_bytes),
        asked: desired.uris.into_iter().collect(),
        refused: HashMap::new(),
        tasks: desired.tasks,
        agreed_tasks: BTreeSet::new(),
    };
    // The acknowledgement has to be the first message.
    match listen.message().await {
        Some(Message::Notification(first)) if first.method == Method::ListenAcknowledged => {
            listen.acknowledged(first.params.as_ref());
            let granted = listen.granted(desired.revision);
            Ok(Some((listen, granted)))
        }
        Some(Message::Response(response)) => match response.outcome {
            Outcome::Error(raw) => unheard(http, &raw),
            Outcome::Result(_) => Err(protocol_error(
                http,
                "it ended subscriptions/listen before the acknowledgement",
            )),
        },
        _ => Err(protocol_error(http, "it did not acknowledge subscriptions/listen")),
    }
}

async fn send(
    http: &HttpServer,
    credential: &UpstreamCredential,
    desired: &DesiredFilter,
) -> Result<http::Response<ResponseBody>> {
    let params = listen_params(desired, http.client_name());
    let headers = http.headers_of(&Method::Listen, &params, credential, &HeaderMap::new());
    let text = envelope::request(&http.next_id(), &Method::Listen, Some(&params.to_bytes()));
    http.send(http.post(headers, text)?, credential).await
}

/// Returns the params of a listen for all lists and the wanted resources, tasks and logs.
pub(crate) fn listen_params(desired: &DesiredFilter, name: &str) -> RawObject {
    let mut filter = RawObject::new();
    for list in ListKind::ALL {
        filter.set(list.filter(), Bytes::from_static(b"true"));
    }
    if !desired.uris.is_empty() {
        filter.set("resourceSubscriptions", strings(desired.uris.iter()));
    }
    let mut capabilities = Bytes::from_static(b"{}");
    if !desired.tasks.is_empty() {
        filter.set(TASK_IDS, strings(desired.tasks.iter()));
        capabilities = tasks::declare(&capabilities);
    }
    let mut params = RawObject::new();
    params.set("notifications", filter.to_bytes());
    params.set(meta::META, modern_meta(None, capabilities, name));
    params
}

/// Reads a response that is no stream: `None` if the server does not know the method.
async fn refused(http: &HttpServer, status: StatusCode, body: ResponseBody) -> Result<Option<(Listen, GrantedFilter)>> {
    let text = collect::body(body, 64 * 1024).await.unwrap_or_default();
    let parsed = envelope::parse(&text, &envelope::ParseLimits::default());
    match parsed {
        Ok(Incoming::One(Message::Response(response))) => match response.outcome {
            Outcome::Error(raw) => unheard(http, &raw),
            Outcome::Result(_) => Err(protocol_error(http, "it ended subscriptions/listen at once")),
        },
        _ if matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) => Ok(None),
        _ => Err(http.refused_with(status)),
    }
}

fn unheard(http: &HttpServer, raw: &Bytes) -> Result<Option<(Listen, GrantedFilter)>> {
    match ErrorObject::parse(raw) {
        Some(error) if error.code == METHOD_NOT_FOUND => Ok(None),
        error => Err(protocol_error(
            http,
            format!(
                "it rejected subscriptions/listen: {}",
                error.map_or_else(String::new, |error| error.to_string())
            ),
        )),
    }
}

impl Listen {
    /// Returns the next notification; `None` at the end.
    async fn next(&mut self) -> Option<Notification> {
        loop {
            match self.message().await? {
                Message::Notification(notification) => return Some(notification),
                // The response to the listen: the server ends it.
                Message::Response(_) => return None,
                // Modern servers send no requests.
                Message::Request(_) => {}
            }
        }
    }

    async fn message(&mut self) -> Option<Message> {
        loop {
            if let Some(event) = self.decoder.next_event().ok()? {
                let limits = envelope::ParseLimits { depth: 1024, batch: 1 };
                if event.is_message()
                    && let Ok(Incoming::One(message)) = envelope::parse(&event.data, &limits)
                {
                    return Some(message);
                }
                continue;
            }
            if let Ok(data) = self.body.frame().await?.ok()?.into_data() {
                self.decoder.push(data);
            }
        }
    }

    /// Reads what the server has agreed to. A server that names nothing has agreed to all.
    fn acknowledged(&mut self, params: Option<&Bytes>) {
        self.agreed_tasks = agreed_tasks(params, &self.tasks);
        let agreed = params.and_then(agreed_uris);
        let Some(agreed) = agreed else { return };
        for uri in &self.asked {
            if !agreed.contains(&**uri) {
                let error = ErrorObject::new(INVALID_PARAMS, "the server sends no notifications for this resource");
                self.refused.insert(uri.clone(), error);
            }
        }
    }

    /// Returns `true` if the wanted notifications are among the requested ones.
    fn covers(&self, desired: &DesiredFilter) -> bool {
        let uris =
            desired.uris.iter().all(|uri| self.asked.contains(uri)) && self.asked.len() <= desired.uris.len() + 64;
        uris && desired.tasks.is_subset(&self.tasks) && self.tasks.len() <= desired.tasks.len() + 64
    }

    fn granted(&self, revision: u64) -> GrantedFilter {
        GrantedFilter {
            revision,
            live: true,
            refused: self.refused.clone(),
            tasks: self.agreed_tasks.clone(),
        }
    }
}

/// Returns the URIs of an acknowledgement; `None` if it names none.
pub(crate) fn agreed_uris(params: &Bytes) -> Option<HashSet<String>> {
    let params = RawObject::parse(params).ok()?;
    let agreed = RawObject::parse(params.get("notifications")?).ok()?;
    match agreed.get("resourceSubscriptions") {
        Some(uris) => serde_json::from_slice(uris).ok(),
        None => Some(HashSet::new()),
    }
}

/// Returns the tasks among `asked` that an acknowledgement names.
pub(crate) fn agreed_tasks(params: Option<&Bytes>, asked: &BTreeSet<Arc<str>>) -> BTreeSet<Arc<str>> {
    let agreed = || {
        let params = RawObject::parse(params?).ok()?;
        let agreed = RawObject::parse(params.get("notifications")?).ok()?;
        serde_json::from_slice::<HashSet<String>>(agreed.get(TASK_IDS)?).ok()
    };
    let agreed = agreed().unwrap_or_default();
    asked.iter().filter(|id| agreed.contains(&***id)).cloned().collect()
}

/// Returns a JSON array of strings.
pub fn strings<'a>(of: impl Iterator<Item = &'a Arc<str>>) -> Bytes {
    let mut array = BytesMut::from(&b"["[..]);
    for (at, text) in of.enumerate() {
        if at > 0 {
            array.put_u8(b',');
        }
        array.put_slice(&object::quote(text));
    }
    array.put_u8(b']');
    array.freeze()
}

fn protocol_error(http: &HttpServer, problem: impl Into<String>) -> Error {
    http.failed(Failure::new(FailureKind::Protocol, problem.into()))
}
