//! The head of a request as it is written, and the head of an answer as it is read (RFC 9112 2 to 5).

use std::mem::MaybeUninit;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};

use crate::http1::ConnectionError;

/// Header lines of an answer.
const HEADERS: usize = 128;
/// Bytes of the head of an answer.
const HEAD_BYTES: usize = 64 * 1024;
/// Most heads are shorter.
const SHORT: usize = 1024;
/// Answers that announce another one (1xx), before there is none to be expected any more.
const ANNOUNCEMENTS: usize = 16;

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// Whether its server speaks HTTP/1.0.
    pub(crate) is_old: bool,
}

/// Writes the head of a request. What frames its body is said here, whatever its headers say.
pub(crate) fn write(request: &Request<Bytes>) -> BytesMut {
    let headers = request.headers();
    let values: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = BytesMut::with_capacity(values + target.len() + 64);
    for part in [request.method().as_str(), " ", target, " HTTP/1.1\r\n"] {
        head.put_slice(part.as_bytes());
    }
    let ours = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONNECTION,
        header::UPGRADE,
    ];
    for (name, value) in headers.iter().filter(|(name, _)| !ours.contains(name)) {
        head.put_slice(name.as_str().as_bytes());
        head.put_slice(b": ");
        head.put_slice(value.as_bytes());
        head.put_slice(b"\r\n");
    }
    let length = request.body().len();
    if length > 0 || request.method() == Method::POST {
        head.put_slice(b"content-length: ");
        head.put_slice(itoa::Buffer::new().format(length).as_bytes());
        head.put_slice(b"\r\n");
    }
    head.put_slice(b"\r\n");
    head
}

/// Reads the head of an answer out of what arrives.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// How much had arrived when it was last parsed.
    parsed: usize,
    announcements: usize,
}

impl HeadReader {
    /// Takes the head of the answer, past those that only announce it (1xx); none if the rest of it is still to come.
    pub(crate) fn read(&mut self, arrived: &mut BytesMut) -> Result<Option<Head>, ConnectionError> {
        while self.may_be_whole(arrived) {
            let Some(head) = parse(arrived)? else {
                self.parsed = arrived.len();
                break;
            };
            self.parsed = 0;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Err(ConnectionError::Head("wants to speak something else"));
            }
            if !head.status.is_informational() {
                return Ok(Some(head));
            }
            self.announcements += 1;
            if self.announcements > ANNOUNCEMENTS {
                return Err(ConnectionError::Head("announces answers without end"));
            }
        }
        Ok(None)
    }

    /// Parsing begins at the first byte each time. So what is not short is parsed when its end has come, or never will.
    fn may_be_whole(&self, arrived: &BytesMut) -> bool {
        let unseen = &arrived[self.parsed.saturating_sub(3).min(arrived.len())..];
        let ends = |at: usize| unseen[at + 1..].starts_with(b"\n") || unseen[at + 1..].starts_with(b"\r\n");
        arrived.len() < SHORT || arrived.len() >= HEAD_BYTES || memchr::memchr_iter(b'\n', unseen).any(ends)
    }
}

/// Takes a head out of what has arrived; none if the rest of it is still to come.
fn parse(arrived: &mut BytesMut) -> Result<Option<Head>, ConnectionError> {
    let mut lines = [const { MaybeUninit::uninit() }; HEADERS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, arrived, &mut lines)? {
        httparse::Status::Complete(length) if length <= HEAD_BYTES => length,
        httparse::Status::Partial if arrived.len() < HEAD_BYTES => return Ok(None),
        _ => return Err(ConnectionError::Head("is too long")),
    };
    let status =
        StatusCode::from_u16(response.code.unwrap_or_default()).map_err(|_| ConnectionError::Head("has no status"))?;
    let is_old = response.version == Some(0);
    // A copy, so that who keeps a header does not keep the whole buffer.
    let text = Bytes::copy_from_slice(&arrived[..length]);
    let start = arrived.as_ptr().addr();
    let mut headers = HeaderMap::with_capacity(response.headers.len());
    for line in response.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| ConnectionError::Head("has a header without name"))?;
        let at = line.value.as_ptr().addr().saturating_sub(start);
        let value = match text.get(at..at.saturating_add(line.value.len())) {
            Some(value) => text.slice_ref(value),
            None => Bytes::copy_from_slice(line.value),
        };
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| ConnectionError::Head("has an odd value"))?;
        headers.append(name, value);
    }
    arrived.advance(length);
    Ok(Some(Head {
        status,
        headers,
        is_old,
    }))
}
