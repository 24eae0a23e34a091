//! The stream of one call: the body it comes from, and the events buffered from it.
//!
//! Only one reader is active at a time. It reads the buffered events and then polls the body itself. No task runs for
//! a stream besides its reader, so a stream that is never resumed costs its buffer and no task.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use http_body::Body as HttpBody;
use portolan_wire::sse;

use super::{
    event_buffer::{Read, ReplayBuffer, Seek, StreamEnd},
    event_id::{EventIdPrefix, RequestRef},
    streams::{Key, ReplayStore},
};
use crate::body::Body;

/// A resumable stream.
#[derive(Debug)]
pub(super) struct ReplayStream {
    pub(super) key: Key,
    pub(super) request_ref: RequestRef,
    pub(super) prefix: EventIdPrefix,
    /// Whether its client reconnects by itself after a stream was closed (2025-11-25, SEP-1699).
    pub(super) reconnects: bool,
    store: Weak<ReplayStore>,
    source: Mutex<Option<Body>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buffer: ReplayBuffer,
    /// The turn of the active reader.
    turn: u64,
    waker: Option<Waker>,
    /// The time after which the client should reconnect, in milliseconds; sent once.
    pause: Option<u64>,
}

/// The result of reading from a stream.
#[derive(Debug)]
pub(super) enum Next {
    /// Buffered data, or its absence.
    Read(Read),
    /// The client should disconnect, and reconnect after this many milliseconds.
    Pause(u64),
    /// Another reader has taken over.
    Superseded,
}

/// Identifies the active reader: a reader with an older turn is superseded.
pub(super) type Turn = u64;

impl ReplayStream {
    pub(super) fn new(
        key: Key,
        request_ref: RequestRef,
        prefix: EventIdPrefix,
        reconnects: bool,
        store: &Arc<ReplayStore>,
        source: Body,
    ) -> Self {
        Self {
            key,
            request_ref,
            prefix,
            reconnects,
            store: Arc::downgrade(store),
            source: Mutex::new(Some(source)),
            state: Mutex::default(),
        }
    }

    /// Takes the stream over from its current reader and seeks to after the event `after`. Leaves the current reader
    /// in place if no event follows.
    pub(super) fn resume_after(&self, after: u64) -> (Turn, Seek) {
        let mut state = self.lock();
        let found = state.buffer.seek(after);
        match found {
            Seek::AtEnd => return (state.turn, found),
            Seek::Truncated => state.buffer.seek_to_end(),
            Seek::Found => {}
        }
        (state.next_turn(), found)
    }

    /// Takes the stream over at the end of its buffer, for a reader without a client.
    pub(super) fn detach(&self) -> Turn {
        let mut state = self.lock();
        state.buffer.seek_to_end();
        state.next_turn()
    }

    /// Returns what the reader with `turn` gets next. Registers its waker if there is no data yet.
    pub(super) fn next(&self, turn: Turn, cx: &Context<'_>) -> Next {
        let mut state = self.lock();
        if state.turn != turn {
            return Next::Superseded;
        }
        let read = state.buffer.read();
        if read == Read::Pending {
            if let Some(millis) = state.pause.take() {
                return Next::Pause(millis);
            }
            state.waker = Some(cx.waker().clone());
        }
        Next::Read(read)
    }

    /// Polls the body once, for a reader that has read all buffered data.
    pub(super) fn poll_more(self: &Arc<Self>, turn: Turn, cx: &mut Context<'_>) -> Poll<()> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        // A superseded reader must not poll: the body wakes the task that polled it last.
        if self.lock().turn != turn {
            return Poll::Ready(());
        }
        let Some(body) = source.as_mut() else {
            return Poll::Ready(());
        };
        let end = match std::task::ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.push(data);
                }
                return Poll::Ready(());
            }
            Some(Err(fault)) => StreamEnd::Broken(fault.to_string()),
            None => StreamEnd::Whole,
        };
        let body = source.take();
        drop(source);
        self.finish(end);
        drop(body);
        Poll::Ready(())
    }

    fn push(&self, data: bytes::Bytes) {
        if let Some(millis) = data.strip_prefix(sse::RETRY) {
            let millis = std::str::from_utf8(millis)
                .ok()
                .and_then(|text| text.trim_end().parse().ok());
            self.lock().pause = millis.filter(|_| self.reconnects);
            return;
        }
        // Once the gateway is gone, no client can resume.
        let store = self.store.upgrade();
        let limit = store.as_ref().map_or(0, |store| store.max_stream_bytes());
        self.change(|buffer| buffer.push(data, limit));
        if let Some(store) = store.filter(|store| store.is_overfull()) {
            store.make_room();
            while store.is_overfull() && self.change(|buffer| buffer.trim(buffer.size() / 2)) {}
        }
    }

    fn finish(self: &Arc<Self>, end: StreamEnd) {
        self.change(|buffer| {
            let is_partial = buffer.last_complete() < buffer.last_started();
            buffer.end(match end {
                StreamEnd::Whole if is_partial => StreamEnd::Broken("its response was cut off".into()),
                end => end,
            });
        });
        if let Some(store) = self.store.upgrade() {
            store.ended(self);
        }
    }

    /// Stops keeping data for a resume.
    pub(super) fn discard(&self) {
        self.change(ReplayBuffer::discard);
    }

    /// Changes the buffer and updates the store's total size; returns whether the buffer shrank.
    fn change(&self, change: impl FnOnce(&mut ReplayBuffer)) -> bool {
        let mut state = self.lock();
        let before = state.buffer.size();
        change(&mut state.buffer);
        let after = state.buffer.size();
        drop(state);
        if let Some(store) = self.store.upgrade() {
            store.count(before, after);
        }
        after < before
    }

    /// Returns the number of the last complete event.
    pub(super) fn last_complete(&self) -> u64 {
        self.lock().buffer.last_complete()
    }

    /// Returns the number of the last event that started.
    pub(super) fn last_started(&self) -> u64 {
        self.lock().buffer.last_started()
    }

    /// Returns the store, as long as the gateway exists.
    pub(super) fn store(&self) -> Option<Arc<ReplayStore>> {
        self.store.upgrade()
    }

    /// Returns the size of the buffer, in bytes.
    pub(super) fn size(&self) -> usize {
        self.lock().buffer.size()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Starts a new turn and wakes the superseded reader.
    fn next_turn(&mut self) -> Turn {
        self.turn += 1;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        self.turn
    }
}

impl Drop for ReplayStream {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.count(self.size(), 0);
            store.remove_dropped(&self.key);
        }
    }
}
