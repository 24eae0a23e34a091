//! The stream of one call: the body that it comes from, and what was said on it.
//!
//! One at a time reads it. Who reads takes what was said already, and then the body itself onwards: nothing runs for a
//! stream but who reads it, so that one which is never taken up again costs what it says and no task.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use http_body::Body as HttpBody;
use portolan_wire::sse;

use super::{
    buffer::{Read, ReplayBuffer, Seek, StreamEnd},
    event_id::{EventIdPrefix, RequestRef},
    store::{Key, ReplayStore},
};
use crate::body::Body;

/// A stream that can be taken up again.
#[derive(Debug)]
pub(super) struct ReplayStream {
    pub(super) key: Key,
    pub(super) request_ref: RequestRef,
    pub(super) prefix: EventIdPrefix,
    /// Whether its client comes back by itself after a stream was closed (2025-11-25, SEP-1699).
    pub(super) polls: bool,
    store: Weak<ReplayStore>,
    source: Mutex<Option<Body>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    buffer: ReplayBuffer,
    /// Whose turn it is to read.
    turn: u64,
    waker: Option<Waker>,
    /// The client is to come back after so many milliseconds.
    pause: Option<u64>,
}

/// What a reader finds.
#[derive(Debug)]
pub(super) enum Next {
    /// Something that was said.
    Read(Read),
    /// The client is to leave, and to come back after so many milliseconds.
    Pause(u64),
    /// Somebody else reads now.
    NotYours,
}

/// Whose turn it is from now on.
pub(super) type Turn = u64;

impl ReplayStream {
    pub(super) fn new(
        key: Key,
        request_ref: RequestRef,
        prefix: EventIdPrefix,
        polls: bool,
        store: &Arc<ReplayStore>,
        source: Body,
    ) -> Self {
        Self {
            key,
            request_ref,
            prefix,
            polls,
            store: Arc::downgrade(store),
            source: Mutex::new(Some(source)),
            state: Mutex::default(),
        }
    }

    /// Takes the stream over from who has read it until now, to read what follows the event `after`. Nothing is taken over
    /// where nothing follows.
    pub(super) fn take_up(&self, after: u64) -> (Turn, Seek) {
        let mut state = self.lock();
        let rewound = state.buffer.rewind(after);
        match rewound {
            Seek::AtEnd => return (state.turn, rewound),
            Seek::Truncated => state.buffer.wind(),
            Seek::Found => {}
        }
        (state.pass_on(), rewound)
    }

    /// Goes on where nothing is left to be read, for nobody.
    pub(super) fn leave(&self) -> Turn {
        let mut state = self.lock();
        state.buffer.wind();
        state.pass_on()
    }

    /// What comes next for who has this turn. Wakes when there is more.
    pub(super) fn next(&self, turn: Turn, cx: &Context<'_>) -> Next {
        let mut state = self.lock();
        if state.turn != turn {
            return Next::NotYours;
        }
        let read = state.buffer.read();
        if read == Read::Nothing {
            if let Some(millis) = state.pause.take() {
                return Next::Pause(millis);
            }
            state.waker = Some(cx.waker().clone());
        }
        Next::Read(read)
    }

    /// Takes the next step of the stream itself, for who has read all that was said.
    pub(super) fn poll_more(self: &Arc<Self>, turn: Turn, cx: &mut Context<'_>) -> Poll<()> {
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        // Who was passed over must not poll any more: the stream wakes who polled it last.
        if self.lock().turn != turn {
            return Poll::Ready(());
        }
        let Some(body) = source.as_mut() else {
            return Poll::Ready(());
        };
        let over = match std::task::ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.said(data);
                }
                return Poll::Ready(());
            }
            Some(Err(fault)) => StreamEnd::Broken(fault.to_string()),
            None => StreamEnd::Whole,
        };
        let body = source.take();
        drop(source);
        self.finish(over);
        drop(body);
        Poll::Ready(())
    }

    fn said(&self, data: bytes::Bytes) {
        if let Some(millis) = data.strip_prefix(sse::RETRY) {
            let millis = std::str::from_utf8(millis)
                .ok()
                .and_then(|text| text.trim_end().parse().ok());
            self.lock().pause = millis.filter(|_| self.polls);
            return;
        }
        // Where there is no gateway any more, nobody comes back to it.
        let store = self.store.upgrade();
        let limit = store.as_ref().map_or(0, |store| store.bytes_of_one());
        self.change(|buffer| buffer.push(data, limit));
        if let Some(store) = store.filter(|store| store.is_overfull()) {
            store.make_room();
            while store.is_overfull() && self.change(|buffer| buffer.trim(buffer.size() / 2)) {}
        }
    }

    fn finish(self: &Arc<Self>, over: StreamEnd) {
        self.change(|buffer| {
            let half = buffer.last() < buffer.event();
            buffer.end(match over {
                StreamEnd::Whole if half => StreamEnd::Broken("its answer broke off".into()),
                over => over,
            });
        });
        if let Some(store) = self.store.upgrade() {
            store.ended(self);
        }
    }

    /// Lets go of what was said: nobody wants it any more.
    pub(super) fn unwanted(&self) {
        self.change(ReplayBuffer::unwanted);
    }

    /// Changes what is kept; whether that is less now.
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

    /// The last event that was said to its end.
    pub(super) fn last(&self) -> u64 {
        self.lock().buffer.last()
    }

    /// The event that was begun last.
    pub(super) fn event(&self) -> u64 {
        self.lock().buffer.event()
    }

    /// Where it is kept, as long as its gateway is there.
    pub(super) fn store(&self) -> Option<Arc<ReplayStore>> {
        self.store.upgrade()
    }

    /// What is kept of it, in bytes.
    pub(super) fn size(&self) -> usize {
        self.lock().buffer.size()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// It is somebody else's turn.
    fn pass_on(&mut self) -> Turn {
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
            store.gone(&self.key);
        }
    }
}
