//! The queue of notifications for one client.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use portolan_client::notifications::{ListKind, NotificationSink, ServerNotification};
use portolan_wire::{
    envelope,
    id::RequestId,
    meta::{META, SUBSCRIPTION_ID},
    method::Method,
    object::RawObject,
};
use tokio::time::Instant;

use super::sent_log::SentLog;
use crate::replicas::{Handle, random_handle};

/// Changes of one list within this time are sent as one notification.
const COALESCE: Duration = Duration::from_millis(100);
/// The maximum number of queued resource updates while no stream is open.
const MAX_UNREAD: usize = 100;

/// The notifications queued for one listen, or for the GET streams of one session. Of those only the newest stream
/// gets messages; when it ends, the one before it.
#[derive(Debug)]
pub(crate) struct NotificationQueue {
    /// The id of the listen, which each message carries.
    subscription: Option<RequestId>,
    /// The maximum number of queued messages.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lists: [ListState; 3],
    queue: VecDeque<Queued>,
    sent: SentLog,
    readers: Vec<OpenReader>,
    next_reader: u64,
    /// When the last stream was closed, if none is open.
    unread_since: Option<Instant>,
    end: Option<End>,
}

/// An open stream.
#[derive(Debug)]
struct OpenReader {
    id: u64,
    stream: Handle,
    waker: Option<Waker>,
    /// Messages to replay, which were sent on a connection that broke.
    replay: VecDeque<(u64, Bytes)>,
}

/// Whether a list change is pending, and when the last one was sent.
#[derive(Clone, Copy, Debug, Default)]
struct ListState {
    is_pending: bool,
    last: Option<Instant>,
}

#[derive(Debug)]
enum Queued {
    Updated(Arc<str>, Bytes),
    Task(Arc<str>, Bytes),
    Message(Bytes),
}

/// How streams end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By the protocol: a listen ends with its result.
    Graceful,
    /// At once.
    Abrupt,
}

/// The result of reading.
#[derive(Debug)]
pub(crate) enum Next {
    /// A message, with its number in the session.
    Message(u64, Bytes),
    /// No message now; one is due at this time, if known.
    Pending(Option<Instant>),
    /// The end of the stream.
    End(End),
}

impl NotificationQueue {
    /// Creates the queue of a session, or of the listen `subscription`. At most `limit` messages are queued.
    pub(crate) fn new(subscription: Option<RequestId>, limit: usize) -> Self {
        Self {
            subscription,
            limit: limit.max(1),
            state: Mutex::default(),
        }
    }

    /// Opens a stream, unless `limit` are open. With the stream and number of the last message that the client
    /// received, resumes that stream and closes its old connection.
    pub(crate) fn open(self: &Arc<Self>, limit: usize, last: Option<(Handle, u64)>) -> Option<Reader> {
        let mut state = self.lock();
        if let Some((stream, _)) = last {
            state.close(|open| open.stream == stream);
        }
        if state.readers.len() >= limit {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        let (stream, read_until) = last.unwrap_or_else(|| (random_handle(), state.sent.last()));
        let (replay, is_complete) = state.sent.after(stream, read_until);
        if !is_complete {
            // Messages may be lost, so the client is notified to read all lists again.
            state
                .lists
                .iter_mut()
                .for_each(|list_state| list_state.is_pending = true);
        }
        state.readers.push(OpenReader {
            id,
            stream,
            waker: None,
            replay,
        });
        state.unread_since = None;
        Some(Reader {
            queue: self.clone(),
            id,
            stream,
            read_until,
        })
    }

    /// Drops the log of sent messages.
    pub(crate) fn clear_sent(&self) {
        self.lock().sent.clear();
    }

    /// Returns whether a stream is open, or was within `grace`.
    pub(crate) fn is_read(&self, grace: Duration) -> bool {
        let state = self.lock();
        !state.readers.is_empty() || state.unread_since.is_some_and(|since| since.elapsed() < grace)
    }

    /// Returns whether a stream is open.
    pub(crate) fn has_reader(&self) -> bool {
        !self.lock().readers.is_empty()
    }

    /// Ends all streams.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state
            .readers
            .iter_mut()
            .filter_map(|open| open.waker.take())
            .for_each(Waker::wake);
    }

    /// Queues a whole message if a stream is open; returns whether one is.
    pub(crate) fn message(&self, message: Bytes) -> bool {
        let mut state = self.lock();
        let read = !state.readers.is_empty();
        if read {
            self.push(&mut state, Queued::Message(message));
        }
        read
    }

    fn push(&self, state: &mut State, queued: Queued) {
        if state.readers.is_empty() && state.queue.len() >= MAX_UNREAD {
            state.queue.pop_front();
        }
        if state.queue.len() < self.limit {
            state.queue.push_back(queued);
            return state.wake();
        }
        // A reader that is too slow is disconnected; its client reconnects and reads again.
        tracing::warn!(limit = self.limit, "a stream is closed: its client reads too slowly");
        state.queue.clear();
        match &self.subscription {
            Some(_) => {
                state.end = Some(End::Abrupt);
                state.wake();
            }
            None => {
                state
                    .lists
                    .iter_mut()
                    .for_each(|list_state| list_state.is_pending = true);
                if let Some(waker) = state.readers.pop().and_then(|open| open.waker) {
                    waker.wake();
                }
            }
        }
    }

    fn render(&self, queued: Queued) -> Bytes {
        match queued {
            Queued::Message(message) => message,
            Queued::Updated(_, params) => self.with_subscription(&Method::ResourceUpdated, &params),
            Queued::Task(_, params) => self.with_subscription(&Method::TaskChanged, &params),
        }
    }

    fn with_subscription(&self, method: &Method, params: &Bytes) -> Bytes {
        let mut params = RawObject::parse(params).unwrap_or_default();
        self.set_subscription(&mut params);
        envelope::notification(method, Some(&params.to_bytes()))
    }

    fn list(&self, list: ListKind) -> Bytes {
        let mut params = RawObject::new();
        self.set_subscription(&mut params);
        let params = (!params.is_empty()).then(|| params.to_bytes());
        envelope::notification(&list.changed(), params.as_deref())
    }

    /// Sets the subscription id of the listen, in place of the one of the upstream stream.
    fn set_subscription(&self, params: &mut RawObject) {
        let meta = params.get(META).and_then(|raw| RawObject::parse(raw).ok());
        if meta.is_none() && self.subscription.is_none() {
            return;
        }
        let mut meta = meta.unwrap_or_default();
        match &self.subscription {
            Some(id) => {
                meta.set(SUBSCRIPTION_ID, id.to_bytes());
            }
            None => {
                meta.remove(SUBSCRIPTION_ID);
            }
        }
        if meta.is_empty() {
            params.remove(META);
        } else {
            params.set(META, meta.to_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NotificationSink for NotificationQueue {
    fn tell(&self, change: &ServerNotification) {
        let mut state = self.lock();
        if state.end.is_some() {
            return;
        }
        match change {
            ServerNotification::List(list) => {
                state.lists[*list as usize].is_pending = true;
                state.wake();
            }
            ServerNotification::Updated { uri, params } => {
                let is_pending = |queued: &Queued| matches!(queued, Queued::Updated(known, _) if known == uri);
                if !state.queue.iter().any(is_pending) {
                    self.push(&mut state, Queued::Updated(uri.clone(), params.clone()));
                }
            }
            ServerNotification::Task { id, params } => {
                let is_pending = |queued: &&mut Queued| matches!(queued, Queued::Task(known, _) if known == id);
                // Only the latest state matters.
                match state.queue.iter_mut().find(is_pending) {
                    Some(queued) => *queued = Queued::Task(id.clone(), params.clone()),
                    None => self.push(&mut state, Queued::Task(id.clone(), params.clone())),
                }
            }
            // Transient messages are not kept without a stream.
            ServerNotification::Log { .. } | ServerNotification::ElicitationComplete(_) if state.readers.is_empty() => {
            }
            ServerNotification::Log { params, .. } => {
                let message = envelope::notification(&Method::LogMessage, Some(params));
                self.push(&mut state, Queued::Message(message));
            }
            ServerNotification::ElicitationComplete(params) => {
                let message = envelope::notification(&Method::ElicitationComplete, Some(params));
                self.push(&mut state, Queued::Message(message));
            }
        }
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.readers.last_mut().and_then(|open| open.waker.take()) {
            waker.wake();
        }
    }

    /// Closes the streams that match.
    fn close(&mut self, matches: impl Fn(&OpenReader) -> bool) {
        for closed in self.readers.extract_if(.., |open| matches(open)) {
            closed.waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Logs a message sent on a stream of a session. A listen cannot be resumed, so its messages are not logged.
    fn note(&mut self, queue: &NotificationQueue, stream: Handle, message: Bytes) -> Next {
        let number = match &queue.subscription {
            Some(_) => 0,
            None => self.sent.log(stream, &message),
        };
        Next::Message(number, message)
    }
}

/// A reader of a [`NotificationQueue`]: one open stream, closed on drop.
#[derive(Debug)]
pub(crate) struct Reader {
    queue: Arc<NotificationQueue>,
    id: u64,
    stream: Handle,
    read_until: u64,
}

impl Reader {
    /// Returns the id of this reader, unique in its session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the stream, which may have had earlier readers.
    pub(crate) fn stream(&self) -> Handle {
        self.stream
    }

    /// Returns the number of the last message before those that this reader gets.
    pub(crate) fn read_until(&self) -> u64 {
        self.read_until
    }

    /// Returns the next message, or registers a waker.
    pub(crate) fn next(&self, cx: &Context<'_>) -> Next {
        let mut state = self.queue.lock();
        if let Some(end) = state.end {
            return Next::End(end);
        }
        let Some(at) = state.readers.iter().position(|open| open.id == self.id) else {
            return Next::End(End::Abrupt);
        };
        if let Some((number, message)) = state.readers[at].replay.pop_front() {
            return Next::Message(number, message);
        }
        let is_newest = at + 1 == state.readers.len();
        let mut next_due: Option<Instant> = None;
        if is_newest {
            let now = Instant::now();
            for list in ListKind::ALL {
                let list_state = &mut state.lists[list as usize];
                match list_state.last.map(|last| last + COALESCE) {
                    _ if !list_state.is_pending => {}
                    Some(due) if now < due => next_due = Some(next_due.map_or(due, |next_due| next_due.min(due))),
                    _ => {
                        *list_state = ListState {
                            is_pending: false,
                            last: Some(now),
                        };
                        let message = self.queue.list(list);
                        return state.note(&self.queue, self.stream, message);
                    }
                }
            }
            if let Some(queued) = state.queue.pop_front() {
                let message = self.queue.render(queued);
                return state.note(&self.queue, self.stream, message);
            }
        }
        state.readers[at].waker = Some(cx.waker().clone());
        Next::Pending(next_due)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.readers.retain(|open| open.id != self.id);
        if state.readers.is_empty() {
            state.unread_since = Some(Instant::now());
            // Only resource updates outlive the last stream, and no more of them than are queued without one.
            state.queue.retain(|queued| matches!(queued, Queued::Updated(..)));
            let surplus = state.queue.len().saturating_sub(MAX_UNREAD);
            state.queue.drain(..surplus);
        }
        state.wake();
    }
}
