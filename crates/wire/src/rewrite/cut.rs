//! Which parts of a chunk are passed on.

use bytes::Bytes;

/// A chunk on its way through, as runs of kept bytes.
///
/// A run is open or not; an open run may be *held* from some byte on: whether that part is kept
/// is not known yet.
pub(super) struct ChunkCursor<'a, E> {
    bytes: Bytes,
    run: Option<usize>,
    held: Option<usize>,
    out: &'a mut E,
}

impl<'a, E: Extend<Bytes>> ChunkCursor<'a, E> {
    pub(super) fn new(bytes: Bytes, silent: bool, out: &'a mut E) -> Self {
        Self {
            bytes,
            run: (!silent).then_some(0),
            held: None,
            out,
        }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.bytes
    }

    /// Puts something in at `at`.
    pub(super) fn insert(&mut self, at: usize, piece: Bytes) {
        if let Some(start) = self.run {
            self.emit(start, at);
            self.run = Some(at);
        }
        self.out.extend(Some(piece));
    }

    /// Drops what comes from `at` on.
    pub(super) fn stop(&mut self, at: usize) {
        if let Some(start) = self.run.take() {
            self.emit(start, at);
        }
    }

    /// Keeps what comes from `at` on.
    pub(super) fn resume(&mut self, at: usize) {
        self.run.get_or_insert(at);
    }

    /// Leaves open what becomes of what comes from `at` on.
    pub(super) fn hold(&mut self, at: usize) {
        self.resume(at);
        self.held = Some(at);
    }

    /// Keeps what was held. False if that began in an earlier chunk.
    pub(super) fn keep(&mut self) -> bool {
        self.held.take().is_some()
    }

    /// Drops what was held, and what follows.
    pub(super) fn drop_held(&mut self) {
        if let Some(at) = self.held.take() {
            self.stop(at);
        }
    }

    /// Gives out the last run, up to where it is held.
    pub(super) fn finish(mut self) {
        match (self.run, self.held) {
            (Some(start), Some(end)) => self.emit(start, end),
            (Some(0), None) if !self.bytes.is_empty() => self.out.extend(Some(self.bytes)),
            (Some(start), None) => self.emit(start, self.bytes.len()),
            (None, _) => {}
        }
    }

    fn emit(&mut self, start: usize, end: usize) {
        if start < end {
            self.out.extend(Some(self.bytes.slice(start..end)));
        }
    }
}
