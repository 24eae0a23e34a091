//! Writes messages, each in one allocation.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{error::ErrorObject, id::RequestId, method::Method, object};

/// Writes a request. `params` is the raw text of a JSON object.
pub fn request(id: &RequestId, method: &Method, params: Option<&[u8]>) -> Bytes {
    let method = method.as_str();
    let mut out = BytesMut::with_capacity(64 + id.as_raw().len() + method.len() + params.map_or(0, <[u8]>::len));
    out.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.put_slice(id.as_raw());
    call(&mut out, method, params);
    out.freeze()
}

/// Writes a notification. `params` is the raw text of a JSON object.
pub fn notification(method: &Method, params: Option<&[u8]>) -> Bytes {
    let method = method.as_str();
    let mut out = BytesMut::with_capacity(64 + method.len() + params.map_or(0, <[u8]>::len));
    out.put_slice(br#"{"jsonrpc":"2.0""#);
    call(&mut out, method, params);
    out.freeze()
}

/// Writes a response from the raw JSON of its result.
pub fn result(id: &RequestId, result: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(64 + id.as_raw().len() + result.len());
    out.put_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.put_slice(id.as_raw());
    out.put_slice(br#","result":"#);
    out.put_slice(result);
    out.put_u8(b'}');
    out.freeze()
}

/// Writes an error response. Without an id, the member is left out, as MCP permits since 2025-11-25.
pub fn error(id: Option<&RequestId>, error: &ErrorObject) -> Bytes {
    let id = id.map_or(&b""[..], RequestId::as_raw);
    let mut out = BytesMut::with_capacity(64 + id.len() + error.len_hint());
    out.put_slice(br#"{"jsonrpc":"2.0""#);
    if !id.is_empty() {
        out.put_slice(br#","id":"#);
        out.put_slice(id);
    }
    out.put_slice(br#","error":"#);
    error.write(&mut out);
    out.put_u8(b'}');
    out.freeze()
}

/// Returns the same JSON on one line, for stdio and for one `data:` field.
///
/// It copies only if there is a newline. JSON strings have no raw ones, so all of them are insignificant white space. It
/// works on any part of a JSON text too.
pub fn one_line(raw: &Bytes) -> Bytes {
    let Some(first) = memchr::memchr2(b'\n', b'\r', raw) else {
        return raw.clone();
    };
    let mut out = BytesMut::with_capacity(raw.len());
    out.put_slice(&raw[..first]);
    let mut rest = &raw[first + 1..];
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        out.put_slice(&rest[..at]);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.freeze()
}

fn call(out: &mut BytesMut, method: &str, params: Option<&[u8]>) {
    out.put_slice(br#","method":"#);
    object::put_quoted(out, method);
    if let Some(params) = params {
        out.put_slice(br#","params":"#);
        out.put_slice(params);
    }
    out.put_u8(b'}');
}
