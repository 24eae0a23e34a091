//! What a legacy server says to one client alone, outside of its calls: on the GET stream of the session that belongs to
//! the client's own.
//!
//! It is opened once the client has a stream and the session upstream is open. Some SDKs send there what they log, and
//! how far they are, and what they ask, in the middle of a call. What is said to everybody, the hub hears.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use portolan_client::{
    HttpServer, OpenSession, SessionStreamReader, StreamOpening,
    notifications::{GetStream, NotificationSink, ServerNotification, StreamEvent, refuse_request},
    response, tasks,
};
use portolan_core::{RpcResponse, UpstreamCredential};
use portolan_wire::{
    envelope::{self, Message, Notification},
    method::Method,
    object::{self, RawObject},
};
use tokio::{runtime::Handle, sync::oneshot};
use tokio_util::task::AbortOnDropHandle;

use super::NotificationQueue;
use crate::{
    server_requests::{PendingRequests, SessionRequester},
    sessions::SessionTasks,
};

/// The streams of one session at its servers. They end with it.
#[derive(Debug)]
pub(super) struct SessionStreams {
    followed: Mutex<Vec<(Arc<OpenSession>, AbortOnDropHandle<()>)>>,
    requester: SessionRequester,
    queue: Arc<NotificationQueue>,
}

impl SessionStreams {
    pub(super) fn new(requester: SessionRequester, queue: Arc<NotificationQueue>) -> Self {
        Self {
            followed: Mutex::default(),
            requester,
            queue,
        }
    }

    /// Follows nothing any more.
    pub(super) fn clear(&self) {
        for (open, _) in self.lock().drain(..) {
            open.unfollow();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<OpenSession>, AbortOnDropHandle<()>)>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionStreamReader for SessionStreams {
    fn follow(
        &self,
        server: &Arc<HttpServer>,
        session: &Arc<OpenSession>,
        credential: &Arc<UpstreamCredential>,
    ) -> Option<StreamOpening> {
        let runtime = Handle::try_current().ok()?;
        if !session.has_id() || !self.queue.has_reader() || !session.follow() {
            return None;
        }
        let (opened, opening) = oneshot::channel();
        let stream = SessionStream {
            http: server.clone(),
            open: session.clone(),
            credential: credential.clone(),
            queue: self.queue.clone(),
            pending: self.requester.pending(server.server().server_requests),
            session_tasks: self.requester.session_tasks.clone(),
        };
        let following = stream.follow(opened);
        let ended = server.ended().clone();
        let following = runtime.spawn(async move {
            tokio::select! {
                () = following => {}
                () = ended.cancelled() => {}
            }
        });
        let mut followed = self.lock();
        followed.retain(|(_, following)| !following.is_finished());
        followed.push((session.clone(), AbortOnDropHandle::new(following)));
        Some(opening)
    }
}

/// The stream of one session at one server.
struct SessionStream {
    http: Arc<HttpServer>,
    open: Arc<OpenSession>,
    credential: Arc<UpstreamCredential>,
    queue: Arc<NotificationQueue>,
    pending: PendingRequests,
    session_tasks: Arc<SessionTasks>,
}

impl SessionStream {
    async fn follow(mut self, opened: oneshot::Sender<()>) {
        let mut opened = Some(opened);
        let mut stream = GetStream::new(&self.http, &self.open, &self.credential);
        loop {
            tokio::select! {
                heard = stream.next() => {
                    // To drop it is to send it.
                    opened.take();
                    match heard {
                        StreamEvent::Opened { .. } | StreamEvent::Message(Message::Response(_)) => {}
                        StreamEvent::Message(Message::Notification(notification)) => self.told(&notification),
                        StreamEvent::Message(Message::Request(request)) => self.asked(&request),
                        StreamEvent::Unsupported | StreamEvent::Expired => return,
                    }
                }
                (id, answer) = self.pending.answer() => {
                    self.bring(response(&id, &self.of_own_task(answer)));
                }
            }
        }
    }

    fn asked(&mut self, request: &envelope::Request) {
        let server_request = if self.queue.has_reader() {
            self.pending.put(&self.of_known_task(request))
        } else {
            None
        };
        match server_request {
            Some(server_request) => drop(self.queue.message(server_request)),
            None => refuse_request(&self.http, &self.open, &self.credential, request),
        }
    }

    /// What the server says meanwhile is heard.
    fn bring(&self, answer: Bytes) {
        let (http, open, credential) = (self.http.clone(), self.open.clone(), self.credential.clone());
        let tasks = http.tasks().clone();
        tasks.spawn(async move { http.notify(&open, &credential, answer).await });
    }

    fn told(&mut self, notification: &Notification) {
        match self.pending.take_back(notification) {
            Some(message) => drop(self.queue.message(message)),
            None if notification.method == Method::TaskStatus => self.tell_of_task(notification),
            None => tell(&self.queue, notification),
        }
    }

    /// The server tells of a task of this session, which the client knows by another id.
    fn tell_of_task(&self, notification: &Notification) {
        let told = || {
            let mut task = RawObject::parse_checked(notification.params.as_ref()?).ok()?;
            let id = self.known(&object::text(task.get("taskId")?)?)?;
            task.set("taskId", id);
            Some(envelope::notification(&Method::TaskStatus, Some(&task.to_bytes())))
        };
        if let Some(message) = told() {
            self.queue.message(message);
        }
    }

    /// What the client calls a task, raw.
    fn known(&self, own: &str) -> Option<Bytes> {
        let id = self.session_tasks.client_id(&self.http.server().name, own)?;
        Some(object::quote(&id))
    }

    fn of_known_task(&self, request: &envelope::Request) -> envelope::Request {
        let renamed = |raw: &Bytes| tasks::rename_related(raw, |own| self.known(own));
        let params = request.params.as_ref().and_then(renamed);
        envelope::Request {
            params: params.or_else(|| request.params.clone()),
            ..request.clone()
        }
    }

    fn of_own_task(&self, answer: RpcResponse) -> RpcResponse {
        let own = |id: &str| Some(object::quote(&self.session_tasks.server_id(&self.http.server().name, id)?));
        match answer {
            RpcResponse::Result(raw) => RpcResponse::Result(tasks::rename_related(&raw, own).unwrap_or(raw)),
            refused => refused,
        }
    }
}

fn tell(queue: &NotificationQueue, notification: &Notification) {
    match ServerNotification::read(notification) {
        Some(change @ (ServerNotification::Log { .. } | ServerNotification::ElicitationComplete(_))) => {
            queue.tell(&change)
        }
        None if notification.method == Method::Progress => {
            queue.message(envelope::notification(
                &Method::Progress,
                notification.params.as_deref(),
            ));
        }
        _ => {}
    }
}
