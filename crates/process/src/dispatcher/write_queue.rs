//! The lines that wait to be written, within a bound of bytes.

use bytes::{BufMut, Bytes, BytesMut};
use portolan_wire::{envelope::one_line, id::RequestId, object::quote};

/// From this size on, params are written from where they are instead of being copied into the line.
const LONG: usize = 8 << 10;

/// What a line costs on top of its bytes.
const OVERHEAD: usize = 64;

/// One message with its line end: in one piece, or in three when the middle is long.
#[derive(Debug, Default)]
pub(crate) struct OutgoingLine {
    pieces: [Bytes; 3],
}

/// What is being written.
#[derive(Debug, Default)]
pub(crate) struct WriteBatch {
    /// The pieces to be written, in order.
    pub(crate) pieces: Vec<Bytes>,
    cost: usize,
}

/// Lines in the order in which they came.
#[derive(Default)]
pub(super) struct WriteQueue {
    lines: Vec<(Option<u64>, OutgoingLine)>,
    /// What waits, and what was taken last.
    cost: usize,
}

impl WriteQueue {
    /// Adds a line if there is room; one alone may be longer than that.
    pub(super) fn push(&mut self, call: Option<u64>, line: OutgoingLine, room: usize) -> bool {
        let fits = self.cost == 0 || self.cost + line.cost() <= room;
        if fits {
            self.cost += line.cost();
            self.lines.push((call, line));
        }
        fits
    }

    /// Takes a call back that was not taken for writing yet. Whether it was there.
    pub(super) fn retract(&mut self, call: u64) -> bool {
        let Some(at) = self.lines.iter().position(|(id, _)| *id == Some(call)) else {
            return false;
        };
        let (_, line) = self.lines.remove(at);
        self.cost -= line.cost();
        true
    }

    /// Takes everything. What `batch` held is written and counts no more. Whether there was anything.
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
    /// Takes a message that has no line end yet.
    fn from(message: Bytes) -> Self {
        let message = one_line(&message);
        Self {
            pieces: [message, Bytes::from_static(b"\n"), Bytes::new()],
        }
    }
}

/// A request as a line.
pub(super) fn call_line(id: u64, method: &str, params: Option<&Bytes>) -> OutgoingLine {
    let params = params.map(one_line).unwrap_or_default();
    let copied = if params.len() < LONG { params.len() } else { 0 };
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

/// The answer to a request of the server; `member` is `result` or `error`.
pub(super) fn answer_line(id: &RequestId, member: &str, raw: &Bytes) -> OutgoingLine {
    let raw = one_line(raw);
    let copied = if raw.len() < LONG { raw.len() } else { 0 };
    let mut head = BytesMut::with_capacity(64 + id.as_raw().len() + copied);
    head.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    head.put_slice(id.as_raw());
    head.put_slice(b",\"");
    head.put_slice(member.as_bytes());
    head.put_slice(b"\":");
    OutgoingLine::with_tail(head, raw)
}

/// The notification that a call is off.
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

    /// `head` and the last member of an object, copied behind it unless it is long.
    fn with_tail(mut head: BytesMut, tail: Bytes) -> Self {
        if tail.len() < LONG {
            head.put_slice(&tail);
            head.put_slice(b"}\n");
            return Self::one(head);
        }
        Self {
            pieces: [head.freeze(), tail, Bytes::from_static(b"}\n")],
        }
    }
}
