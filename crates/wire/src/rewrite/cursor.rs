//! The parts of a chunk that are passed on.

use bytes::Bytes;

/// A position in a chunk, and the run of bytes before it that is passed on.
///
/// A run is open or not; an open run may be *held* from some byte on: it is not known yet whether that part is kept.
pub(super) struct ChunkCursor<'a, E> {
    bytes: &'a Bytes,
    run: Option<usize>,
    held: Option<usize>,
    out: &'a mut E,
}

impl<'a, E: Extend<Bytes>> ChunkCursor<'a, E> {
    /// Starts at the beginning of a chunk, with a run unless that is `silent`.
    pub(super) fn new(bytes: &'a Bytes, silent: bool, out: &'a mut E) -> Self {
        Self {
            bytes,
            run: (!silent).then_some(0),
            held: None,
            out,
        }
    }

    /// Writes `piece` between the bytes before and after `at`.
    pub(super) fn insert(&mut self, at: usize, piece: Bytes) {
        if let Some(start) = self.run {
            self.emit(start, at);
            self.run = Some(at);
        }
        self.out.extend(Some(piece));
    }

    /// Drops the bytes from `at` on.
    pub(super) fn stop(&mut self, at: usize) {
        if let Some(start) = self.run.take() {
            self.emit(start, at);
        }
    }

    /// Passes on the bytes from `at` on.
    pub(super) fn resume(&mut self, at: usize) {
        self.run.get_or_insert(at);
    }

    /// Holds the bytes from `at` on until [`keep`](Self::keep) or [`drop_held`](Self::drop_held).
    pub(super) fn hold(&mut self, at: usize) {
        self.resume(at);
        self.held = Some(at);
    }

    /// Passes on the bytes that were held. Returns false if they began in an earlier chunk.
    pub(super) fn keep(&mut self) -> bool {
        self.held.take().is_some()
    }

    /// Drops the bytes that were held, and those that follow.
    pub(super) fn drop_held(&mut self) {
        if let Some(at) = self.held.take() {
            self.stop(at);
        }
    }

    /// Writes the last run, up to where it is held.
    pub(super) fn finish(mut self) {
        match (self.run, self.held) {
            (Some(start), Some(end)) => self.emit(start, end),
            (Some(0), None) if !self.bytes.is_empty() => self.out.extend(Some(self.bytes.clone())),
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
