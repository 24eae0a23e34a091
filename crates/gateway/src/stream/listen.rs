//! `subscriptions/listen` (2026-07-28, basic/utilities/subscriptions).

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::{Response, StatusCode};
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

use super::{Agreed, Listener, Outbox, body::StreamBody};
use crate::{
    body::Body,
    reply::{self, Rejection},
    service::Inner,
    tasks,
    upstream::{Interest, List, TASK_IDS, strings},
    visit::Visit,
};

/// The member of a filter that names resources.
const RESOURCES: &str = "resourceSubscriptions";

impl Inner {
    /// Opens a stream of what the client asks to be told. It is acknowledged when the servers are listened to, or when
    /// they have had their time: what they say later is told as well.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        visit: &Arc<Visit>,
        id: &RequestId,
        params: &RawObject,
        knows_tasks: bool,
    ) -> Result<Response<Body>, Rejection> {
        let refuse = |error: ErrorObject| {
            Rejection::new(error::http_status(error.code, Era::Modern), error).with_id(Some(id.clone()))
        };
        let most = self.config.limits.subscriptions;
        let interest = interest(params, most).map_err(refuse)?;
        let tasks = task_ids(params, most, knows_tasks).map_err(refuse)?;
        let watching = tasks::watching(visit, &self.keys, &tasks);
        if self.streams.is_draining() {
            return Err(closing().with_id(Some(id.clone())));
        }
        let place = self.streams.places.listen(&visit.caller.subject);
        let place = place.map_err(|full| crowded(&full).with_id(Some(id.clone())))?;
        let id = id.detached();
        let outbox = Outbox::new(Some(id.clone()), self.config.limits.stream_queue);
        let listener = Listener::new(visit, outbox, interest.clone(), watching, None);
        listener.came_in(visit);
        self.keep();
        self.streams.note(&listener);
        let agreed = self
            .attach(&listener, &visit.gateway, self.config.timeouts.listen_ready)
            .await;
        let accepted = accepted(interest, &agreed);
        // What nobody tells of is not listened for: where another server begins to, the client has not been promised it.
        if listener.want(accepted.uris.clone(), None) {
            let (inner, again, gateway) = (self.clone(), listener.clone(), visit.gateway.clone());
            self.connector
                .tasks
                .spawn(async move { inner.attach(&again, &gateway, std::time::Duration::ZERO).await });
        }
        let Some(reader) = listener.outbox.open(1, None) else {
            return Err(closing().with_id(Some(id)));
        };
        let first = sse::event(&acknowledgement(&id, &accepted, &agreed.tasks()));
        let body = StreamBody::new(reader, first).ending_with(self.listened(&id));
        Ok(reply::events(self.awake(body).attended((listener, place))))
    }

    /// The result of a listen, which ends it.
    fn listened(&self, id: &RequestId) -> Bytes {
        let mut about = RawObject::new();
        about.set(SERVER_INFO, self.server_info());
        about.set(SUBSCRIPTION_ID, id.to_bytes());
        let mut result = RawObject::new();
        result.set("resultType", Bytes::from_static(b"\"complete\""));
        result.set(META, about.to_bytes());
        envelope::result(id, &result.to_bytes())
    }
}

/// What a filter asks for. Kinds that are not known are not accepted, which the acknowledgement says.
fn interest(params: &RawObject, most: usize) -> Result<Interest, ErrorObject> {
    let odd = |problem: &str| ErrorObject::invalid_params(format!("params.notifications{problem}"));
    let filter = params.get("notifications").ok_or_else(|| odd(" is missing"))?;
    let filter = RawObject::parse_checked(filter).map_err(|_| odd(" must be an object"))?;
    let mut interest = Interest::default();
    for list in List::ALL {
        interest.lists[list as usize] = match filter.get(list.filter()).map(|raw| &raw[..]) {
            None | Some(b"false") => false,
            Some(b"true") => true,
            Some(_) => return Err(odd(&format!(".{} must be a boolean", list.filter()))),
        };
    }
    interest.uris = names(&filter, RESOURCES, most)?.into_iter().map(Arc::from).collect();
    Ok(interest)
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
    let odd = |problem: String| ErrorObject::invalid_params(format!("params.notifications.{member} {problem}"));
    let Some(raw) = filter.get(member) else {
        return Ok(Vec::new());
    };
    let names: Vec<String> = serde_json::from_slice(raw).map_err(|_| odd("must be an array of strings".into()))?;
    if names.len() > most {
        return Err(odd(format!("has more than {most} entries")));
    }
    Ok(names)
}

fn accepted(mut interest: Interest, agreed: &Agreed) -> Interest {
    interest.uris.retain(|uri| agreed.of(uri).is_ok());
    interest
}

fn acknowledgement(id: &RequestId, accepted: &Interest, tasks: &BTreeSet<Arc<str>>) -> Bytes {
    let mut filter = RawObject::new();
    for list in List::ALL {
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
    let mut about = RawObject::new();
    about.set(SUBSCRIPTION_ID, id.to_bytes());
    let mut params = RawObject::new();
    params.set("notifications", filter.to_bytes());
    params.set(META, about.to_bytes());
    envelope::notification(&Method::ListenAcknowledged, Some(&params.to_bytes()))
}

/// This replica is about to end: another one takes streams.
pub(super) fn closing() -> Rejection {
    let error = ErrorObject::internal("this endpoint is about to close; try again");
    Rejection::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// There is no place for another stream.
pub(super) fn crowded(full: &portolan_core::Error) -> Rejection {
    Rejection::new(StatusCode::TOO_MANY_REQUESTS, reply::error_object(full))
}
