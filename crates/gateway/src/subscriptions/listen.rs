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

/// The filter member with the URIs of resources.
const RESOURCES: &str = "resourceSubscriptions";

impl Subscriptions {
    /// Opens a stream of the notifications that the client asks for. It is acknowledged once all servers are
    /// subscribed to, or after `listen_ready`: notifications of later servers are sent as well.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        context: &Arc<RequestContext>,
        id: &RequestId,
        params: &RawObject,
        has_tasks: bool,
    ) -> Result<Response<Body>, Rejection> {
        let refuse = |error: ErrorObject| {
            Rejection::new(error::http_status(error.code, Era::Modern), error).with_id(Some(id.clone()))
        };
        let limit = self.config.limits.subscriptions;
        let filter = filter(params, limit).map_err(refuse)?;
        let tasks = task_ids(params, limit, has_tasks).map_err(refuse)?;
        let watching = gateway_tasks::watching(context, &self.keys, &tasks);
        if self.is_draining() {
            return Err(shutting_down().with_id(Some(id.clone())));
        }
        let permit = self.limits.listen(&context.caller.subject);
        let permit = permit.map_err(|full| limit_reached(&full).with_id(Some(id.clone())))?;
        let id = id.detached();
        let queue = NotificationQueue::new(Some(id.clone()), self.config.limits.stream_queue);
        let subscriber = Subscriber::new(context, queue, filter.clone(), watching, None);
        subscriber.note_request(context);
        self.register(&subscriber);
        let agreed = self
            .attach(&subscriber, &context.gateway, self.config.timeouts.listen_ready)
            .await;
        let accepted = accepted(filter, &agreed);
        // Drops URIs that no server accepted: a server that accepts one later was not promised in the acknowledgement.
        if subscriber.update(accepted.uris.clone(), None) {
            self.attach_later(&subscriber, &context.gateway);
        }
        let Some(reader) = subscriber.queue.open(1, None) else {
            return Err(shutting_down().with_id(Some(id)));
        };
        let first = sse::event(&acknowledgement(&id, &accepted, &agreed.tasks()));
        let body = StreamBody::new(reader, first).ending_with(self.final_result(&id));
        let body = Body::relayed(KeepAliveBody::new(body, self.config.timeouts.keep_alive));
        Ok(reply::events(body.with_guard((subscriber, permit))))
    }

    /// Returns the result that ends a listen.
    fn final_result(&self, id: &RequestId) -> Bytes {
        let mut info = RawObject::new();
        info.set(SERVER_INFO, self.config.server_info());
        info.set(SUBSCRIPTION_ID, id.to_bytes());
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(b"\"complete\""));
        result.set(META, info.to_bytes());
        envelope::result(id, &result.to_bytes())
    }
}

/// Parses the filter of a request. Unknown kinds are not accepted, which the acknowledgement shows.
fn filter(params: &RawObject, limit: usize) -> Result<NotificationFilter, ErrorObject> {
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
    filter.uris = names(&members, RESOURCES, limit)?.into_iter().map(Arc::from).collect();
    Ok(filter)
}

/// Parses the task ids of a filter, which only clients with tasks may name.
fn task_ids(params: &RawObject, limit: usize, has_tasks: bool) -> Result<Vec<String>, ErrorObject> {
    let filter = params.get("notifications").map(RawObject::parse_checked);
    let filter = filter.and_then(Result::ok).unwrap_or_default();
    if filter.contains(TASK_IDS) && !has_tasks {
        return Err(tasks::undeclared());
    }
    names(&filter, TASK_IDS, limit)
}

fn names(filter: &RawObject, member: &str, limit: usize) -> Result<Vec<String>, ErrorObject> {
    let invalid = |problem: String| ErrorObject::invalid_params(format!("params.notifications.{member} {problem}"));
    let Some(raw) = filter.get(member) else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = serde_json::from_slice(raw).map_err(|_| invalid("must be an array of strings".into()))?;
    if names.len() > limit {
        return Err(invalid(format!("has more than {limit} entries")));
    }
    Ok(names)
}

fn accepted(mut filter: NotificationFilter, agreed: &AgreedFilter) -> NotificationFilter {
    filter.uris.retain(|uri| agreed.check(uri).is_ok());
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

/// Refuses a stream, because this replica is shutting down.
pub(super) fn shutting_down() -> Rejection {
    let error = ErrorObject::internal("this replica is shutting down; open the stream again");
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Refuses a stream, because a limit is reached.
pub(super) fn limit_reached(full: &portolan_core::Error) -> Rejection {
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, failure::error_object(full))
}
