//! The replay streams of this replica: running ones, and ended ones for a limited time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use portolan_wire::id::RequestId;
use tokio_util::task::TaskTracker;

use super::stream::ReplayStream;
use crate::{config::GatewayConfig, replicas::Handle};

/// The key of a stream: its session and the stream itself.
pub(super) type Key = (Handle, Handle);

/// A bounded store of replay streams.
#[derive(Debug)]
pub(crate) struct ReplayStore {
    max_streams: usize,
    max_session_streams: usize,
    max_stream_bytes: usize,
    max_bytes: usize,
    retention: Duration,
    /// The size of all streams, in bytes.
    size: AtomicUsize,
    slots: Mutex<Slots>,
    /// Runs the streams whose clients are disconnected.
    pub(super) tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Slots {
    streams: BTreeMap<Key, Slot>,
    /// The ended streams, in the order in which they ended.
    ended: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
enum Slot {
    /// Kept alive by its reader.
    Running(Weak<ReplayStream>),
    Ended(Arc<ReplayStream>, Instant),
}

impl ReplayStore {
    pub(crate) fn new(config: &GatewayConfig, tasks: TaskTracker) -> Self {
        let limits = &config.limits;
        Self {
            max_streams: limits.replays,
            max_session_streams: limits.session_replays,
            max_stream_bytes: limits.replay_bytes,
            max_bytes: limits.all_replay_bytes,
            retention: config.timeouts.replay,
            size: AtomicUsize::new(0),
            slots: Mutex::default(),
            tasks,
        }
    }

    /// Whether any stream is kept.
    pub(crate) fn is_used(&self) -> bool {
        self.max_streams.min(self.max_session_streams) > 0
    }

    /// Returns the number of streams.
    pub(crate) fn len(&self) -> usize {
        self.lock().streams.len()
    }

    /// Returns the size of all streams, in bytes.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Adds a stream if there is room, evicting an ended one if necessary.
    pub(super) fn put(&self, key: Key, make: impl FnOnce() -> Arc<ReplayStream>) -> Option<Arc<ReplayStream>> {
        let mut evicted = Evicted::default();
        let mut slots = self.lock();
        if slots.of(key.0).count() >= self.max_session_streams {
            let oldest = slots.oldest_of(key.0)?;
            evicted.take(&mut slots, &oldest);
        }
        if slots.streams.len() >= self.max_streams {
            let (_, oldest) = slots.ended.first().copied()?;
            evicted.take(&mut slots, &oldest);
        }
        let stream = make();
        slots.streams.insert(key, Slot::Running(Arc::downgrade(&stream)));
        Some(stream)
    }

    /// Returns the stream under this key, if it is still kept.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<ReplayStream>> {
        self.lock().streams.get(key)?.stream()
    }

    /// Keeps a stream that has ended for the configured time.
    pub(super) fn ended(&self, stream: &Arc<ReplayStream>) {
        let now = Instant::now();
        let mut slots = self.lock();
        // A stream that was removed in the meantime stays removed.
        if let Some(slot) = slots.streams.get_mut(&stream.key) {
            *slot = Slot::Ended(stream.clone(), now);
            slots.ended.insert((now, stream.key));
        }
    }

    /// Stops keeping the stream of a request that was cancelled.
    pub(crate) fn discard(&self, session: Handle, id: &RequestId) {
        let streams: Vec<Arc<ReplayStream>> = self.lock().of(session).filter_map(Slot::stream).collect();
        streams
            .iter()
            .filter(|stream| stream.request_ref.id == *id)
            .for_each(|stream| stream.discard());
    }

    /// Removes the streams of a session.
    pub(crate) fn forget(&self, session: Handle) {
        let mut evicted = Evicted::default();
        let mut slots = self.lock();
        let keys: Vec<Key> = slots.streams.range(span(session)).map(|(key, _)| *key).collect();
        for key in keys {
            evicted.take(&mut slots, &key);
        }
    }

    /// Removes the streams whose retention time has passed.
    pub(crate) fn forget_old(&self) {
        let mut evicted = Evicted::default();
        let mut slots = self.lock();
        while let Some((ended, key)) = slots.ended.first().copied()
            && ended.elapsed() >= self.retention
        {
            evicted.take(&mut slots, &key);
        }
    }

    /// Evicts the streams that ended first, until the total size is within its limit.
    pub(super) fn make_room(&self) {
        let mut evicted = Evicted::default();
        let mut slots = self.lock();
        while let Some((_, key)) = slots.ended.first().copied()
            && self.size.load(Ordering::Relaxed) > self.max_bytes + evicted.size
        {
            evicted.take(&mut slots, &key);
        }
    }

    /// Removes the entry of a running stream that was dropped.
    pub(super) fn remove_dropped(&self, key: &Key) {
        let mut slots = self.lock();
        if let Some(Slot::Running(_)) = slots.streams.get(key) {
            slots.streams.remove(key);
        }
    }

    /// Returns the maximum size of one stream, in bytes.
    pub(super) fn max_stream_bytes(&self) -> usize {
        self.max_stream_bytes
    }

    /// Updates the total size after a stream's size changed.
    pub(super) fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.size.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.size.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Returns whether the total size exceeds its limit.
    pub(super) fn is_overfull(&self) -> bool {
        self.size.load(Ordering::Relaxed) > self.max_bytes
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// Returns the streams of a session.
    fn of(&self, session: Handle) -> impl Iterator<Item = &Slot> {
        self.streams.range(span(session)).map(|(_, slot)| slot)
    }

    /// Returns the stream of a session that ended first.
    fn oldest_of(&self, session: Handle) -> Option<Key> {
        let ended = |(key, slot): (&Key, &Slot)| match slot {
            Slot::Running(_) => None,
            Slot::Ended(_, ended) => Some((*ended, *key)),
        };
        let oldest = self.streams.range(span(session)).filter_map(ended).min();
        oldest.map(|(_, key)| key)
    }
}

impl Slot {
    fn stream(&self) -> Option<Arc<ReplayStream>> {
        match self {
            Self::Running(stream) => stream.upgrade(),
            Self::Ended(stream, _) => Some(stream.clone()),
        }
    }
}

/// Streams that were taken out of the store. Dropping a stream locks the store, so create this before taking the lock:
/// it then outlives the guard.
#[derive(Debug, Default)]
struct Evicted {
    streams: Vec<Arc<ReplayStream>>,
    size: usize,
}

impl Evicted {
    fn take(&mut self, slots: &mut Slots, key: &Key) {
        if let Some(Slot::Ended(stream, ended)) = slots.streams.remove(key) {
            slots.ended.remove(&(ended, *key));
            self.size += stream.size();
            self.streams.push(stream);
        }
    }
}

/// Returns the range of keys of a session.
fn span(session: Handle) -> std::ops::RangeInclusive<Key> {
    (session, [0; 16])..=(session, [u8::MAX; 16])
}
