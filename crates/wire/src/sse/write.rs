//! Writes events.

use bytes::{BufMut, Bytes, BytesMut};

/// The bytes before the data of a streamed message event. The data must be on one line: see
/// [`one_line`](crate::envelope::one_line).
pub const EVENT_START: &[u8] = b"event: message\ndata: ";

/// The bytes after the data of an event.
pub const EVENT_END: &[u8] = b"\n\n";

/// The beginning of a [`retry`] line.
pub const RETRY: &[u8] = b"retry: ";

/// A comment, which keeps the connection alive and has no meaning.
pub const COMMENT: &[u8] = b":\n\n";

/// Writes a message event. Newlines in JSON are white space and are dropped.
pub fn event(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(EVENT_START.len() + data.len() + EVENT_END.len());
    put_event(&mut out, data);
    out.freeze()
}

/// Writes a message event with an id, for a stream that can be resumed (legacy).
pub fn event_with_id(id: &str, data: &[u8]) -> Bytes {
    let room = id.len() + EVENT_START.len() + data.len() + EVENT_END.len() + 8;
    let mut out = BytesMut::with_capacity(room);
    put_id(&mut out, id);
    put_event(&mut out, data);
    out.freeze()
}

/// Writes the line with the id of the next event, for an event that is streamed.
pub fn id_line(id: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(id.len() + 5);
    put_id(&mut out, id);
    out.freeze()
}

/// Writes how many milliseconds to wait before the stream is resumed, after its connection is closed.
pub fn retry(millis: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(RETRY.len() + 24);
    put_retry(&mut out, millis);
    out.put_u8(b'\n');
    out.freeze()
}

/// Writes the event without data that opens a resumable stream (2025-11-25, SEP-1699), with the
/// milliseconds to wait before a reconnection.
pub fn priming(id: &str, retry: Option<u64>) -> Bytes {
    let mut out = BytesMut::with_capacity(id.len() + 48);
    put_id(&mut out, id);
    if let Some(millis) = retry {
        put_retry(&mut out, millis);
    }
    out.put_slice(b"data: \n\n");
    out.freeze()
}

fn put_retry(out: &mut BytesMut, millis: u64) {
    out.put_slice(RETRY);
    out.put_slice(itoa::Buffer::new().format(millis).as_bytes());
    out.put_u8(b'\n');
}

fn put_event(out: &mut BytesMut, data: &[u8]) {
    out.put_slice(EVENT_START);
    let mut rest = data;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.put_slice(&rest[..at]);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_slice(EVENT_END);
}

/// Removes control characters from an id: any would end the field, or void it.
fn put_id(out: &mut BytesMut, id: &str) {
    out.put_slice(b"id: ");
    out.extend(id.bytes().filter(|byte| *byte >= b' '));
    out.put_u8(b'\n');
}
