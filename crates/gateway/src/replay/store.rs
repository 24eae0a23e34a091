//! The tapes of this replica: those of streams that go on, and those of streams that are over, for a while.

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

/// A stream: its session, and itself.
pub(super) type Key = (Handle, Handle);

/// Where tapes are kept, within bounds.
#[derive(Debug)]
pub(crate) struct ReplayStore {
    most: usize,
    most_of_one: usize,
    bytes_of_one: usize,
    bytes: usize,
    kept_for: Duration,
    /// Bytes on all tapes.
    size: AtomicUsize,
    slots: Mutex<Slots>,
    /// Where streams go on whose clients are away.
    pub(super) tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Slots {
    streams: BTreeMap<Key, Slot>,
    /// Those that are over, in the order of their ends.
    over: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
enum Slot {
    /// Who reads it holds it.
    Running(Weak<ReplayStream>),
    Over(Arc<ReplayStream>, Instant),
}

impl ReplayStore {
    pub(crate) fn new(config: &GatewayConfig, tasks: TaskTracker) -> Self {
        let limits = &config.limits;
        Self {
            most: limits.replays,
            most_of_one: limits.session_replays,
            bytes_of_one: limits.replay_bytes,
            bytes: limits.all_replay_bytes,
            kept_for: config.timeouts.replay,
            size: AtomicUsize::new(0),
            slots: Mutex::default(),
            tasks,
        }
    }

    /// Whether any stream is kept.
    pub(crate) fn is_used(&self) -> bool {
        self.most.min(self.most_of_one) > 0
    }

    /// How many tapes there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().streams.len()
    }

    /// Bytes on all of them.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Puts a tape in, if there is room, or if one that is over can make room.
    pub(super) fn put(&self, key: Key, make: impl FnOnce() -> Arc<ReplayStream>) -> Option<Arc<ReplayStream>> {
        let mut gone = Gone::default();
        let mut slots = self.lock();
        if slots.of(key.0).count() >= self.most_of_one {
            let oldest = slots.oldest_of(key.0)?;
            gone.take(&mut slots, &oldest);
        }
        if slots.streams.len() >= self.most {
            let (_, oldest) = slots.over.first().copied()?;
            gone.take(&mut slots, &oldest);
        }
        let stream = make();
        slots.streams.insert(key, Slot::Running(Arc::downgrade(&stream)));
        Some(stream)
    }

    /// The tape under this key, if it is still kept.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<ReplayStream>> {
        self.lock().streams.get(key)?.stream()
    }

    /// The stream of a tape is over: it is kept for a while.
    pub(super) fn ended(&self, stream: &Arc<ReplayStream>) {
        let now = Instant::now();
        let mut slots = self.lock();
        // One that was forgotten in the meantime stays so.
        if let Some(slot) = slots.streams.get_mut(&stream.key) {
            *slot = Slot::Over(stream.clone(), now);
            slots.over.insert((now, stream.key));
        }
    }

    /// Nobody wants the answer to this request any more.
    pub(crate) fn unwanted(&self, session: Handle, id: &RequestId) {
        let streams: Vec<Arc<ReplayStream>> = self.lock().of(session).filter_map(Slot::stream).collect();
        streams
            .iter()
            .filter(|stream| stream.request_ref.id == *id)
            .for_each(|stream| stream.unwanted());
    }

    /// Forgets the tapes of a session.
    pub(crate) fn forget(&self, session: Handle) {
        let mut gone = Gone::default();
        let mut slots = self.lock();
        let keys: Vec<Key> = slots.streams.range(span(session)).map(|(key, _)| *key).collect();
        for key in keys {
            gone.take(&mut slots, &key);
        }
    }

    /// Forgets those that have been over for long enough.
    pub(crate) fn forget_old(&self) {
        let mut gone = Gone::default();
        let mut slots = self.lock();
        while let Some((ended, key)) = slots.over.first().copied()
            && ended.elapsed() >= self.kept_for
        {
            gone.take(&mut slots, &key);
        }
    }

    /// Forgets those that ended first, as long as there are too many bytes on all.
    pub(super) fn make_room(&self) {
        let mut gone = Gone::default();
        let mut slots = self.lock();
        while let Some((_, key)) = slots.over.first().copied()
            && self.size.load(Ordering::Relaxed) > self.bytes + gone.size
        {
            gone.take(&mut slots, &key);
        }
    }

    /// A tape is dropped.
    pub(super) fn gone(&self, key: &Key) {
        let mut slots = self.lock();
        if let Some(Slot::Running(_)) = slots.streams.get(key) {
            slots.streams.remove(key);
        }
    }

    /// Bytes of one tape.
    pub(super) fn bytes_of_one(&self) -> usize {
        self.bytes_of_one
    }

    /// A tape has grown, or shrunk.
    pub(super) fn count(&self, before: usize, after: usize) {
        if after >= before {
            self.size.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.size.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Whether there are too many bytes on all tapes together.
    pub(super) fn is_overfull(&self) -> bool {
        self.size.load(Ordering::Relaxed) > self.bytes
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    /// The tapes of a session.
    fn of(&self, session: Handle) -> impl Iterator<Item = &Slot> {
        self.streams.range(span(session)).map(|(_, slot)| slot)
    }

    /// Of those that are over, the one that ended first.
    fn oldest_of(&self, session: Handle) -> Option<Key> {
        let over = |(key, slot): (&Key, &Slot)| match slot {
            Slot::Running(_) => None,
            Slot::Over(_, ended) => Some((*ended, *key)),
        };
        let oldest = self.streams.range(span(session)).filter_map(over).min();
        oldest.map(|(_, key)| key)
    }
}

impl Slot {
    fn stream(&self) -> Option<Arc<ReplayStream>> {
        match self {
            Self::Running(stream) => stream.upgrade(),
            Self::Over(stream, _) => Some(stream.clone()),
        }
    }
}

/// Tapes that were taken out. They come back here when they are dropped, so they must outlive the lock: make this first.
#[derive(Debug, Default)]
struct Gone {
    streams: Vec<Arc<ReplayStream>>,
    size: usize,
}

impl Gone {
    fn take(&mut self, slots: &mut Slots, key: &Key) {
        if let Some(Slot::Over(stream, ended)) = slots.streams.remove(key) {
            slots.over.remove(&(ended, *key));
            self.size += stream.size();
            self.streams.push(stream);
        }
    }
}

/// The keys of a session.
fn span(session: Handle) -> std::ops::RangeInclusive<Key> {
    (session, [0; 16])..=(session, [u8::MAX; 16])
}
