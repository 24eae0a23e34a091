//! The lines that wait to be written, within a limit of bytes.

use bytes::{BufMut, Bytes, BytesMut};
use portolan_wire::{envelope::one_line, id::RequestId, object::quote};

/// From this size on, params are written from their own buffer instead of being copied into the line.
const COPY_LIMIT: usize = 8 << 10;

/// The cost of a line beyond its bytes.
const OVERHEAD: usize = 64;

/// One message with its line end: in one piece, or in three if the middle is long.
#[derive(Debug, Default)]
pub(crate) struct OutgoingLine {
    pieces: [Bytes; 3],
}

/// The lines that are being written.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    /// The pieces to write, in order.
    pub(crate) pieces: Vec<Bytes>,
    cost: usize,
}

/// Lines in the order in which they arrived.
#[derive(Default)]
pub(super) struct WriteQueue {
    lines: Vec<(Option<u64>, OutgoingLine)>,
    /// Of the lines that wait, and of the batch that was taken last.
    cost: usize,
}

impl WriteQueue {
    /// Adds a line if that stays within `room`. A single line may exceed it.
    pub(super) fn push(&mut self, call: Option<u64>, line: OutgoingLine, room: usize) -> bool {
        let fits = self.cost == 0 || self.cost + line.cost() <= room;
        if fits {
            self.cost += line.cost();
            self.lines.push((call, line));
        }
        fits
    }

    /// Removes a call that was not taken for writing yet. Returns false if there is none.
    pub(super) fn retract(&mut self, call: u64) -> bool {
        let Some(at) = self.lines.iter().position(|(id, _)| *id == Some(call)) else {
            return false;
        };
        let (_, line) = self.lines.remove(at);
        self.cost -= line.cost();
        true
    }

    /// Moves all lines into `batch`, whose earlier content counts as written. Returns false if there are none.
    pub(super) fn take(&mut self, batch: &mut WriteBatch) -> bool {
        self.cost = self.cost.saturating_sub(std::mem::take(&mut batch.cost));
        batch.pieces.clear();
        for (_, line) in self.lines.drain(..) {
            batch.cost += line.cost();
            batch
                .pieces
                .extend(line.pieces.into_iter().filter(|piece| !piece.is_empty()));
        }
        !batch.pieces.is_empty()
    }
}

impl OutgoingLine {
    fn cost(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>() + OVERHEAD
    }
}

impl From<Bytes> for OutgoingLine {
    /// Converts a message without a line end.
    fn from(message: Bytes) -> Self {
        let message = one_line(&message);
        Self {
            pieces: [message, Bytes::from_static(b"\n"), Bytes::new()],
        }
    }
}

/// Returns a request as a line.
pub(super) fn call_line(id: u64, method: &str, params: Option<&Bytes>) -> OutgoingLine {
    let params = params.map(one_line).unwrap_or_default();
    let copied = if params.len() < COPY_LIMIT { params.len() } else { 0 };
    let mut head = BytesMut::with_capacity(64 + method.len() + copied);
    head.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.put_slice(itoa::Buffer::new().format(id).as_bytes());
    head.put_slice(br#","method":"#);
    head.put_slice(&quote(method));
    if params.is_empty() {
        head.put_slice(b"}\n");
        return OutgoingLine::one(head);
    }
    head.put_slice(br#","params":"#);
    OutgoingLine::with_tail(head, params)
}

/// Returns the response to a server request as a line; `member` is `result` or `error`.
pub(super) fn response_line(id: &RequestId, member: &str, raw: &Bytes) -> OutgoingLine {
    let raw = one_line(raw);
    let copied = if raw.len() < COPY_LIMIT { raw.len() } else { 0 };
    let mut head = BytesMut::with_capacity(64 + id.as_raw().len() + copied);
    head.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.put_slice(id.as_raw());
    head.put_slice(b",\"");
    head.put_slice(member.as_bytes());
    head.put_slice(b"\":");
    OutgoingLine::with_tail(head, raw)
}

/// Returns the cancellation of a call as a line.
pub(super) fn cancel_line(id: u64, reason: &str) -> OutgoingLine {
    let params = format!(r#"{{"requestId":{id},"reason":"{reason}"}}"#);
    let line = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{params}}}\n");
    OutgoingLine::one(line.as_bytes().into())
}

impl OutgoingLine {
    fn one(text: BytesMut) -> Self {
        Self {
            pieces: [text.freeze(), Bytes::new(), Bytes::new()],
        }
    }

    /// Returns `head` followed by the last member of the object, which is copied unless it is long.
    fn with_tail(mut head: BytesMut, tail: Bytes) -> Self {
        if tail.len() < COPY_LIMIT {
            head.put_slice(&tail);
            head.put_slice(b"}\n");
            return Self::one(head);
        }
        Self {
            pieces: [head.freeze(), tail, Bytes::from_static(b"}\n")],
        }
    }
}
