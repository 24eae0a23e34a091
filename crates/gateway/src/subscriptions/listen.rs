//! `subscriptions/listen` (2026-07-28, basic/utilities/subscriptions).

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
use portolan_client::{
    failure,
    notifications::{ListKind, NotificationFilter, TASK_IDS, strings},
    tasks,
};
use portolan_wire::{
    envelope,
    era::Era,
    error::{self, ErrorObject},
    id::RequestId,
    meta::{META, SERVER_INFO, SUBSCRIPTION_ID},
    method::Method,
    object::RawObject,
    sse,
};

use super::{AgreedFilter, NotificationQueue, Subscriber, Subscriptions, body::StreamBody};
use crate::{
    body::{Body, KeepAliveBody},
    reply::{self, Rejection},
    routing::RequestContext,
    sessions::SessionSubscriber,
    tasks as gateway_tasks,
};

/// The member of a filter that names resources.
const RESOURCES: &str = "resourceSubscriptions";

impl Subscriptions {
    /// Opens a stream of what the client asks to be told. It is acknowledged when the servers are listened to, or when
    /// they have had their time: what they say later is told as well.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        id: &RequestId,
        params: &RawObject,
        knows_tasks: bool,
    ) -> Result<Response<Body>, Rejection> {
        let refuse = |error: ErrorObject| {
            Rejection::new(error::http_status(error.code, Era::Modern), error).with_id(Some(id.clone()))
        };
        let most = self.config.limits.subscriptions;
        let filter = filter(params, most).map_err(refuse)?;
        let tasks = task_ids(params, most, knows_tasks).map_err(refuse)?;
        let watching = gateway_tasks::watching(context, &self.keys, &tasks);
        if self.is_draining() {
            return Err(closing().with_id(Some(id.clone())));
        }
        let permit = self.limits.listen(&context.caller.subject);
        let permit = permit.map_err(|full| crowded(&full).with_id(Some(id.clone())))?;
        let id = id.detached();
        let queue = NotificationQueue::new(Some(id.clone()), self.config.limits.stream_queue);
        let subscriber = Subscriber::new(context, queue, filter.clone(), watching, None);
        subscriber.note_request(context);
        self.note(&subscriber);
        let agreed = self
            .attach(&subscriber, &context.gateway, self.config.timeouts.listen_ready)
            .await;
        let accepted = accepted(filter, &agreed);
        // What nobody tells of is not listened for: where another server begins to, the client has not been promised it.
        if subscriber.update(accepted.uris.clone(), None) {
            self.attach_later(&subscriber, &context.gateway);
        }
        let Some(reader) = subscriber.queue.open(1, None) else {
            return Err(closing().with_id(Some(id)));
        };
        let first = sse::event(&acknowledgement(&id, &accepted, &agreed.tasks()));
        let body = StreamBody::new(reader, first).ending_with(self.listened(&id));
        let body = Body::relayed(KeepAliveBody::new(body, self.config.timeouts.keep_alive));
        Ok(reply::events(body.with_guard((subscriber, permit))))
    }

    /// The result of a listen, which ends it.
    fn listened(&self, id: &RequestId) -> Bytes {
        let mut info = RawObject::new();
        info.set(SERVER_INFO, self.config.server_info());
        info.set(SUBSCRIPTION_ID, id.to_bytes());
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(b"\"complete\""));
        result.set(META, info.to_bytes());
        envelope::result(id, &result.to_bytes())
    }
}

/// What a filter asks for. Kinds that are not known are not accepted, which the acknowledgement says.
fn filter(params: &RawObject, most: usize) -> Result<NotificationFilter, ErrorObject> {
    let invalid = |problem: &str| ErrorObject::invalid_params(format!("params.notifications{problem}"));
    let members = params.get("notifications").ok_or_else(|| invalid(" is missing"))?;
    let members = RawObject::parse_checked(members).map_err(|_| invalid(" must be an object"))?;
    let mut filter = NotificationFilter::default();
    for list in ListKind::ALL {
        filter.lists[list as usize] = match members.get(list.filter()).map(|raw| &raw[..]) {
            None | Some(b"false") => false,
            Some(b"true") => true,
            Some(_) => return Err(invalid(&format!(".{} must be a boolean", list.filter()))),
        };
    }
    filter.uris = names(&members, RESOURCES, most)?.into_iter().map(Arc::from).collect();
    Ok(filter)
}

/// The tasks that a filter names. Only who knows tasks may name some.
fn task_ids(params: &RawObject, most: usize, knows_tasks: bool) -> Result<Vec<String>, ErrorObject> {
    let filter = params.get("notifications").map(RawObject::parse_checked);
    let filter = filter.and_then(Result::ok).unwrap_or_default();
    if filter.contains(TASK_IDS) && !knows_tasks {
        return Err(tasks::undeclared());
    }
    names(&filter, TASK_IDS, most)
}

fn names(filter: &RawObject, member: &str, most: usize) -> Result<Vec<String>, ErrorObject> {
    let invalid = |problem: String| ErrorObject::invalid_params(format!("params.notifications.{member} {problem}"));
    let Some(raw) = filter.get(member) else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = serde_json::from_slice(raw).map_err(|_| invalid("must be an array of strings".into()))?;
    if names.len() > most {
        return Err(invalid(format!("has more than {most} entries")));
    }
    Ok(names)
}

fn accepted(mut filter: NotificationFilter, agreed: &AgreedFilter) -> NotificationFilter {
    filter.uris.retain(|uri| agreed.of(uri).is_ok());
    filter
}

fn acknowledgement(id: &RequestId, accepted: &NotificationFilter, tasks: &BTreeSet<Arc<str>>) -> Bytes {
    let mut filter = RawObject::new();
    for list in ListKind::ALL {
        if accepted.lists[list as usize] {
            filter.set(list.filter(), Bytes::from_static(b"true"));
        }
    }
    if !accepted.uris.is_empty() {
        filter.set(RESOURCES, strings(accepted.uris.iter()));
    }
    if !tasks.is_empty() {
        filter.set(TASK_IDS, strings(tasks.iter()));
    }
    let mut info = RawObject::new();
    info.set(SUBSCRIPTION_ID, id.to_bytes());
    let mut params = RawObject::new();
    params.set("notifications", filter.to_bytes());
    params.set(META, info.to_bytes());
    envelope::notification(&Method::ListenAcknowledged, Some(&params.to_bytes()))
}

/// This replica is about to end: another one takes streams.
pub(super) fn closing() -> Rejection {
    let error = ErrorObject::internal("this endpoint is about to close; try again");
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// There is no place for another stream.
pub(super) fn crowded(full: &portolan_core::Error) -> Rejection {
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, failure::error_object(full))
}
