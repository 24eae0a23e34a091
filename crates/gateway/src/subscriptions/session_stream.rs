//! The GET stream of the upstream session that belongs to one client session at a legacy server.
//!
//! It is opened once the client has a stream and the upstream session exists. Some SDKs send log messages, progress
//! and server requests on it during a call. Notifications for all clients arrive on the notification feed instead.

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

/// The upstream GET streams of one session. They end with it.
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

    /// Closes all streams.
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
        let reading = stream.follow(opened);
        let ended = server.ended().clone();
        let reading = runtime.spawn(async move {
            tokio::select! {
                () = reading => {}
                () = ended.cancelled() => {}
            }
        });
        let mut followed = self.lock();
        followed.retain(|(_, reading)| !reading.is_finished());
        followed.push((session.clone(), AbortOnDropHandle::new(reading)));
        Some(opening)
    }
}

/// The GET stream of one session at one server.
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
                event = stream.next() => {
                    // Dropping the sender signals the event.
                    opened.take();
                    match event {
                        StreamEvent::Opened { .. } | StreamEvent::Message(Message::Response(_)) => {}
                        StreamEvent::Message(Message::Notification(notification)) => self.on_notification(&notification),
                        StreamEvent::Message(Message::Request(request)) => self.on_request(&request),
                        StreamEvent::Unsupported | StreamEvent::Expired => return,
                    }
                }
                (id, answer) = self.pending.response() => {
                    self.send_response(response(&id, &self.with_server_task_id(answer)));
                }
            }
        }
    }

    fn on_request(&mut self, request: &envelope::Request) {
        let server_request = if self.queue.has_reader() {
            self.pending.register(&self.with_client_task_id(request))
        } else {
            None
        };
        match server_request {
            Some(server_request) => drop(self.queue.message(server_request)),
            None => refuse_request(&self.http, &self.open, &self.credential, request),
        }
    }

    /// Sends a response in the background, so that the stream is read meanwhile.
    fn send_response(&self, answer: Bytes) {
        let (http, open, credential) = (self.http.clone(), self.open.clone(), self.credential.clone());
        let tasks = http.tasks().clone();
        tasks.spawn(async move { http.notify(&open, &credential, answer).await });
    }

    fn on_notification(&mut self, notification: &Notification) {
        match self.pending.cancel(notification) {
            Some(message) => drop(self.queue.message(message)),
            None if notification.method == Method::TaskStatus => self.relay_task_status(notification),
            None => tell(&self.queue, notification),
        }
    }

    /// Relays the status of a task of this session, under the client's id.
    fn relay_task_status(&self, notification: &Notification) {
        let renamed = || {
            let mut task = RawObject::parse_checked(notification.params.as_ref()?).ok()?;
            let id = self.client_task_id(&object::text(task.get("taskId")?)?)?;
            task.set("taskId", id);
            Some(envelope::notification(&Method::TaskStatus, Some(&task.to_bytes())))
        };
        if let Some(message) = renamed() {
            self.queue.message(message);
        }
    }

    /// Returns the client's id of a task, raw.
    fn client_task_id(&self, own: &str) -> Option<Bytes> {
        let id = self.session_tasks.client_id(&self.http.server().name, own)?;
        Some(object::quote(&id))
    }

    fn with_client_task_id(&self, request: &envelope::Request) -> envelope::Request {
        let renamed = |raw: &Bytes| tasks::rename_related(raw, |own| self.client_task_id(own));
        let params = request.params.as_ref().and_then(renamed);
        envelope::Request {
            params: params.or_else(|| request.params.clone()),
            ..request.clone()
        }
    }

    fn with_server_task_id(&self, answer: RpcResponse) -> RpcResponse {
        let own = |id: &str| {
            Some(object::quote(
                &self.session_tasks.server_id(&self.http.server().name, id)?,
            ))
        };
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
