//! JSON strings: raw to decoded, and back.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use crate::scan::{JsonKind, Scanner};

/// Decodes a raw JSON string, with its quotes. Returns `None` for anything else, and for a string with a lone surrogate,
/// which no Rust string can have.
pub fn text(raw: &Bytes) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr(b'\\', inner).is_none() {
        let plain = inner.iter().all(|byte| *byte >= 0x20 && *byte != b'"');
        return if plain {
            std::str::from_utf8(inner).ok().map(Cow::Borrowed)
        } else {
            None
        };
    }
    serde_json::from_slice(raw).ok().map(Cow::Owned)
}

/// Encodes a string as JSON, with quotes.
pub fn quote(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 2);
    put_quoted(&mut out, text);
    out.freeze()
}

pub(crate) fn put_quoted(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
        out.put_slice(&rest[..at]);
        match rest[at] {
            b'\n' => out.put_slice(br"\n"),
            b'\r' => out.put_slice(br"\r"),
            b'\t' => out.put_slice(br"\t"),
            quoted @ (b'"' | b'\\') => out.put_slice(&[b'\\', quoted]),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.put_slice(br"\u00");
                out.put_slice(&[HEX[usize::from(control >> 4)], HEX[usize::from(control & 15)]]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}

/// Decodes the content of a scanned string. One with a lone surrogate stays as it is written, which is good enough for
/// keys: no known one has any.
pub(crate) fn unescape(inner: &[u8]) -> String {
    let mut quoted = Vec::with_capacity(inner.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(inner);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).unwrap_or_else(|_| String::from_utf8_lossy(inner).into_owned())
}

/// Returns true if `raw` is a JSON string that decodes to `wanted`.
pub(crate) fn is_text(raw: &[u8], wanted: &str) -> bool {
    match raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
        Some(inner) if inner == wanted.as_bytes() => true,
        Some(inner) if inner.contains(&b'\\') => {
            let mut scanner = Scanner::new(raw, 0);
            scanner.value().is_ok_and(|value| value.kind == JsonKind::String) && unescape(inner) == wanted
        }
        _ => false,
    }
}
