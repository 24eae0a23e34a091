//! What waits to be told to one client outside of calls.

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

/// Changes of one list within this time are told as one.
const TOGETHER: Duration = Duration::from_millis(100);
/// Resources whose changes are remembered while no stream is open.
const REMEMBERED: usize = 100;

/// What waits for one client: for one listen, or for the GET streams of one session. Of those the newest is told; when it
/// ends, the one before it.
#[derive(Debug)]
pub(crate) struct NotificationQueue {
    /// The id of the listen that each message names.
    subscription: Option<RequestId>,
    /// Messages that wait for a reader.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    lists: [Told; 3],
    queue: VecDeque<Waiting>,
    sent: SentLog,
    readers: Vec<OpenReader>,
    next_reader: u64,
    /// Since when nobody reads.
    unread: Option<Instant>,
    end: Option<End>,
}

/// A stream that is open.
#[derive(Debug)]
struct OpenReader {
    id: u64,
    stream: Handle,
    waker: Option<Waker>,
    /// What was told on it before, to a connection that broke.
    again: VecDeque<(u64, Bytes)>,
}

/// Whether the change of a list is to be told, and when it was told last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    waits: bool,
    last: Option<Instant>,
}

#[derive(Debug)]
enum Waiting {
    Updated(Arc<str>, Bytes),
    Task(Arc<str>, Bytes),
    Message(Bytes),
}

/// How streams end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As the protocol has it: a listen with its result.
    Graceful,
    /// At once.
    Abrupt,
}

/// What a reader finds.
#[derive(Debug)]
pub(crate) enum Next {
    /// A message, with its number among those of its session.
    Message(u64, Bytes),
    /// Nothing now; something at this time, if at any.
    Nothing(Option<Instant>),
    /// There will be nothing more.
    End(End),
}

impl NotificationQueue {
    /// Of a session, or of a listen with its id; `limit` messages wait for a slow reader.
    pub(crate) fn new(subscription: Option<RequestId>, limit: usize) -> Self {
        Self {
            subscription,
            limit: limit.max(1),
            state: Mutex::default(),
        }
    }

    /// Opens a stream, unless `most` are open. With the last message that was read of one, that one is taken up again: who
    /// had it has it no more.
    pub(crate) fn open(self: &Arc<Self>, most: usize, last: Option<(Handle, u64)>) -> Option<Reader> {
        let mut state = self.lock();
        if let Some((stream, _)) = last {
            state.close(|open| open.stream == stream);
        }
        if state.readers.len() >= most {
            return None;
        }
        let id = state.next_reader;
        state.next_reader += 1;
        let (stream, read_until) = last.unwrap_or_else(|| (random_handle(), state.sent.last()));
        let (again, is_all) = state.sent.after(stream, read_until);
        if !is_all {
            // Whatever the client has missed, it can read anew.
            state.lists.iter_mut().for_each(|told| told.waits = true);
        }
        state.readers.push(OpenReader {
            id,
            stream,
            waker: None,
            again,
        });
        state.unread = None;
        Some(Reader {
            queue: self.clone(),
            id,
            stream,
            read_until,
        })
    }

    /// Forgets what was told on streams that nobody has come back to.
    pub(crate) fn forget_sent(&self) {
        self.lock().sent.forget();
    }

    /// Whether somebody reads, or did within `grace`.
    pub(crate) fn is_read(&self, grace: Duration) -> bool {
        let state = self.lock();
        !state.readers.is_empty() || state.unread.is_some_and(|since| since.elapsed() < grace)
    }

    /// Whether a stream is open now.
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

    /// Puts a whole message in, if somebody reads.
    pub(crate) fn message(&self, message: Bytes) -> bool {
        let mut state = self.lock();
        let read = !state.readers.is_empty();
        if read {
            self.push(&mut state, Waiting::Message(message));
        }
        read
    }

    fn push(&self, state: &mut State, waiting: Waiting) {
        if state.readers.is_empty() && state.queue.len() >= REMEMBERED {
            state.queue.pop_front();
        }
        if state.queue.len() < self.limit {
            state.queue.push_back(waiting);
            return state.wake();
        }
        // A reader that is so far behind is cut off; its client comes back and asks anew.
        tracing::warn!(
            limit = self.limit,
            "a stream is ended, because its client does not read it"
        );
        state.queue.clear();
        match &self.subscription {
            Some(_) => {
                state.end = Some(End::Abrupt);
                state.wake();
            }
            None => {
                state.lists.iter_mut().for_each(|told| told.waits = true);
                if let Some(waker) = state.readers.pop().and_then(|open| open.waker) {
                    waker.wake();
                }
            }
        }
    }

    fn render(&self, waiting: Waiting) -> Bytes {
        match waiting {
            Waiting::Message(message) => message,
            Waiting::Updated(_, params) => self.marked(&Method::ResourceUpdated, &params),
            Waiting::Task(_, params) => self.marked(&Method::TaskChanged, &params),
        }
    }

    fn marked(&self, method: &Method, params: &Bytes) -> Bytes {
        let mut params = RawObject::parse(params).unwrap_or_default();
        self.mark(&mut params);
        envelope::notification(method, Some(&params.to_bytes()))
    }

    fn list(&self, list: ListKind) -> Bytes {
        let mut params = RawObject::new();
        self.mark(&mut params);
        let params = (!params.is_empty()).then(|| params.to_bytes());
        envelope::notification(&list.changed(), params.as_deref())
    }

    /// Puts in which listen a message belongs to, in place of what the server's own stream said.
    fn mark(&self, params: &mut RawObject) {
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
                state.lists[*list as usize].waits = true;
                state.wake();
            }
            ServerNotification::Updated { uri, params } => {
                let waits = |waiting: &Waiting| matches!(waiting, Waiting::Updated(known, _) if known == uri);
                if !state.queue.iter().any(waits) {
                    self.push(&mut state, Waiting::Updated(uri.clone(), params.clone()));
                }
            }
            ServerNotification::Task { id, params } => {
                let waits = |waiting: &&mut Waiting| matches!(waiting, Waiting::Task(known, _) if known == id);
                // How far it is now is all that matters.
                match state.queue.iter_mut().find(waits) {
                    Some(waiting) => *waiting = Waiting::Task(id.clone(), params.clone()),
                    None => self.push(&mut state, Waiting::Task(id.clone(), params.clone())),
                }
            }
            // What is of the moment is not kept for later.
            ServerNotification::Log { .. } | ServerNotification::ElicitationComplete(_) if state.readers.is_empty() => {
            }
            ServerNotification::Log { params, .. } => {
                let message = envelope::notification(&Method::LogMessage, Some(params));
                self.push(&mut state, Waiting::Message(message));
            }
            ServerNotification::ElicitationComplete(params) => {
                let message = envelope::notification(&Method::ElicitationComplete, Some(params));
                self.push(&mut state, Waiting::Message(message));
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

    /// Closes the streams of which this holds.
    fn close(&mut self, holds: impl Fn(&OpenReader) -> bool) {
        for closed in self.readers.extract_if(.., |open| holds(open)) {
            closed.waker.into_iter().for_each(Waker::wake);
        }
    }

    /// Notes that a message goes out on a stream of a session. A listen is not taken up again.
    fn note(&mut self, queue: &NotificationQueue, stream: Handle, message: Bytes) -> Next {
        let number = match &queue.subscription {
            Some(_) => 0,
            None => self.sent.note(stream, &message),
        };
        Next::Message(number, message)
    }
}

/// One stream of an outbox; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Reader {
    queue: Arc<NotificationQueue>,
    id: u64,
    stream: Handle,
    read_until: u64,
}

impl Reader {
    /// What tells it from the other readers of its session.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The stream, which may have had other readers.
    pub(crate) fn stream(&self) -> Handle {
        self.stream
    }

    /// The last message before those that it reads.
    pub(crate) fn read_until(&self) -> u64 {
        self.read_until
    }

    /// What comes next. Wakes when there is more.
    pub(crate) fn next(&self, cx: &Context<'_>) -> Next {
        let mut state = self.queue.lock();
        if let Some(end) = state.end {
            return Next::End(end);
        }
        let Some(at) = state.readers.iter().position(|open| open.id == self.id) else {
            return Next::End(End::Abrupt);
        };
        if let Some((number, message)) = state.readers[at].again.pop_front() {
            return Next::Message(number, message);
        }
        let is_newest = at + 1 == state.readers.len();
        let mut later: Option<Instant> = None;
        if is_newest {
            let now = Instant::now();
            for list in ListKind::ALL {
                let told = &mut state.lists[list as usize];
                match told.last.map(|last| last + TOGETHER) {
                    _ if !told.waits => {}
                    Some(from) if now < from => later = Some(later.map_or(from, |later| later.min(from))),
                    _ => {
                        *told = Told {
                            waits: false,
                            last: Some(now),
                        };
                        let message = self.queue.list(list);
                        return state.note(&self.queue, self.stream, message);
                    }
                }
            }
            if let Some(waiting) = state.queue.pop_front() {
                let message = self.queue.render(waiting);
                return state.note(&self.queue, self.stream, message);
            }
        }
        state.readers[at].waker = Some(cx.waker().clone());
        Next::Nothing(later)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.readers.retain(|open| open.id != self.id);
        if state.readers.is_empty() {
            state.unread = Some(Instant::now());
            // What was for a reader alone goes with it, and no more is kept than is kept without one.
            state.queue.retain(|waiting| matches!(waiting, Waiting::Updated(..)));
            let surplus = state.queue.len().saturating_sub(REMEMBERED);
            state.queue.drain(..surplus);
        }
        state.wake();
    }
}
