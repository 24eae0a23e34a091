//! How the body of an answer is told from what comes after it (RFC 9112 6 and 7).

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};

use crate::http1::{ConnectionError, head::Head};

/// Bytes of the line that begins a chunk, with its extensions, and of all trailers.
const LINE_BYTES: usize = 16 * 1024;
/// Trailers, which nobody here needs.
const TRAILERS: usize = 64;

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// Nothing.
    Over,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Chunk),
    /// Whatever comes until the server hangs up.
    Hangup,
}

/// Where in a chunked body one is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Chunk {
    Size,
    Data(u64),
    /// Behind its data: the line's end.
    End,
    Trailers,
}

/// What is there of a body.
#[derive(Debug)]
pub(crate) enum BodyPart {
    Data(Bytes),
    /// More has to arrive.
    Missing,
    Over,
}

impl Framing {
    /// The framing of the body behind `head`, and whether the connection can be used again after it.
    pub(crate) fn of(head: &Head) -> Result<(Self, bool), ConnectionError> {
        let headers = &head.headers;
        let stays = stays_open(headers, head.is_old);
        // Not answers to HEAD or CONNECT: those are never sent.
        if matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return Ok((Self::Over, stays));
        }
        if headers.contains_key(header::TRANSFER_ENCODING) {
            if head.is_old {
                // Who cannot have written it did not (RFC 9112 6.1).
                return Err(ConnectionError::Head("has chunks in HTTP/1.0"));
            }
            // A length beside it may have been smuggled in: what comes after this answer is not trusted.
            let is_sound = !headers.contains_key(header::CONTENT_LENGTH);
            return Ok(match is_chunked(headers) {
                true => (Self::Chunked(Chunk::Size), stays && is_sound),
                false => (Self::Hangup, false),
            });
        }
        Ok(match length(headers)? {
            Some(0) => (Self::Over, stays),
            Some(length) => (Self::Length(length), stays),
            None => (Self::Hangup, false),
        })
    }

    /// Takes what is there of the body out of what has arrived.
    pub(crate) fn next(&mut self, arrived: &mut BytesMut) -> Result<BodyPart, ConnectionError> {
        loop {
            match self {
                Self::Over => return Ok(BodyPart::Over),
                _ if arrived.is_empty() => return Ok(BodyPart::Missing),
                Self::Hangup => return Ok(BodyPart::Data(std::mem::take(arrived).freeze())),
                Self::Length(left) => {
                    let data = take(left, arrived);
                    if *left == 0 {
                        *self = Self::Over;
                    }
                    return Ok(BodyPart::Data(data));
                }
                Self::Chunked(Chunk::Data(left)) => {
                    let data = take(left, arrived);
                    if *left == 0 {
                        *self = Self::Chunked(Chunk::End);
                    }
                    return Ok(BodyPart::Data(data));
                }
                Self::Chunked(Chunk::Size) => match size(arrived)? {
                    None => return Ok(BodyPart::Missing),
                    Some(0) => *self = Self::Chunked(Chunk::Trailers),
                    Some(size) => *self = Self::Chunked(Chunk::Data(size)),
                },
                Self::Chunked(Chunk::End) => {
                    if arrived.len() < 2 {
                        return Ok(BodyPart::Missing);
                    }
                    if !arrived.starts_with(b"\r\n") {
                        return Err(ConnectionError::Chunk);
                    }
                    arrived.advance(2);
                    *self = Self::Chunked(Chunk::Size);
                }
                Self::Chunked(Chunk::Trailers) => {
                    if !skip_trailers(arrived)? {
                        return Ok(BodyPart::Missing);
                    }
                    *self = Self::Over;
                }
            }
        }
    }

    /// The server has hung up: whether that is the end of the body.
    pub(crate) fn hung_up(&mut self) -> Result<(), ConnectionError> {
        match self {
            Self::Over => Ok(()),
            Self::Hangup => {
                *self = Self::Over;
                Ok(())
            }
            _ => Err(ConnectionError::Incomplete),
        }
    }
}

fn take(left: &mut u64, arrived: &mut BytesMut) -> Bytes {
    let there = usize::try_from(*left).unwrap_or(usize::MAX).min(arrived.len());
    *left -= there as u64;
    if there == arrived.len() {
        // Nothing of the buffer is held on to, so that it can be read into again.
        return std::mem::take(arrived).freeze();
    }
    arrived.split_to(there).freeze()
}

/// The size of the next chunk, if its line is there.
fn size(arrived: &mut BytesMut) -> Result<Option<u64>, ConnectionError> {
    if !arrived.first().is_some_and(u8::is_ascii_hexdigit) {
        return Err(ConnectionError::Chunk);
    }
    match httparse::parse_chunk_size(arrived).map_err(|_| ConnectionError::Chunk)? {
        // A line feed in an extension is what others take for the line's end.
        httparse::Status::Complete((line, size)) if line <= LINE_BYTES && ends_lines(&arrived[..line]) => {
            arrived.advance(line);
            Ok(Some(size))
        }
        httparse::Status::Partial if arrived.len() < LINE_BYTES => Ok(None),
        _ => Err(ConnectionError::Chunk),
    }
}

/// Whether the trailers are over.
fn skip_trailers(arrived: &mut BytesMut) -> Result<bool, ConnectionError> {
    let mut lines = [httparse::EMPTY_HEADER; TRAILERS];
    match httparse::parse_headers(arrived, &mut lines)? {
        // As chunks do, these lines end with both (RFC 9112 7.1).
        httparse::Status::Complete((length, _)) if length <= LINE_BYTES && ends_lines(&arrived[..length]) => {
            arrived.advance(length);
            Ok(true)
        }
        httparse::Status::Partial if arrived.len() < LINE_BYTES => Ok(false),
        _ => Err(ConnectionError::Chunk),
    }
}

/// Whether no line ends with a line feed alone.
fn ends_lines(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).all(|at| text[..at].ends_with(b"\r"))
}

/// RFC 9112 9.3.
fn stays_open(headers: &HeaderMap, is_old: bool) -> bool {
    let values = headers.get_all(header::CONNECTION).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let (mut closes, mut keeps) = (false, false);
    for word in texts.flat_map(|text| text.split(',')).map(str::trim) {
        closes |= word.eq_ignore_ascii_case("close");
        keeps |= word.eq_ignore_ascii_case("keep-alive");
    }
    !closes && (keeps || !is_old)
}

/// Whether the last coding is the one that says where the body ends.
fn is_chunked(headers: &HeaderMap) -> bool {
    let last = headers.get_all(header::TRANSFER_ENCODING).iter().next_back();
    let codings = last.and_then(|value| value.to_str().ok());
    let coding = codings.and_then(|codings| codings.rsplit(',').next());
    coding.is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked"))
}

/// The one length that the headers say (RFC 9112 6.3, 5).
fn length(headers: &HeaderMap) -> Result<Option<u64>, ConnectionError> {
    let mut said = None;
    for value in headers.get_all(header::CONTENT_LENGTH) {
        for digits in value.as_bytes().split(|byte| *byte == b',') {
            let length = number(digits.trim_ascii()).ok_or(ConnectionError::Length)?;
            if said.is_some_and(|said| said != length) {
                return Err(ConnectionError::Length);
            }
            said = Some(length);
        }
    }
    Ok(said)
}

/// Digits, and nothing else: `parse` would take a sign, too.
fn number(digits: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}
