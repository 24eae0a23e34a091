//! An incremental parser of HTTP/1.1 responses with a content length or chunked encoding.

use super::collect::Collector;
use crate::Result;

/// The most bytes of a head or a line.
const LARGEST_LINE: usize = 64 << 10;

/// A response, as far as it has been read.
#[derive(Debug)]
pub(crate) struct Response {
    state: State,
    /// An unfinished head or line.
    line: Vec<u8>,
    pub(crate) head: Head,
    pub(crate) body: Collector,
}

/// The fields of a head that the client uses.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) events: bool,
    pub(crate) closes: bool,
    pub(crate) session: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Head,
    Sized(usize),
    ChunkSize,
    Chunk(usize),
    ChunkEnd,
    Trailer,
    Done,
}

impl Response {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            line: Vec::new(),
            head: Head::default(),
            body: Collector::default(),
        }
    }

    /// Prepares for the next response and keeps the buffers.
    pub(crate) fn reset(&mut self, skip_text: bool) {
        self.state = State::Head;
        self.line.clear();
        self.head = Head::default();
        self.body.reset(skip_text);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Parses further bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.state {
                State::Head => {
                    let Some(head) = self.read_until(&mut bytes, b"\r\n\r\n")? else {
                        return Ok(());
                    };
                    self.state = self.read_head(&head)?;
                }
                State::Sized(left) => {
                    let taken = self.take(&mut bytes, left);
                    self.state = if taken == left {
                        State::Done
                    } else {
                        State::Sized(left - taken)
                    };
                }
                State::ChunkSize => {
                    let Some(line) = self.read_until(&mut bytes, b"\r\n")? else {
                        return Ok(());
                    };
                    self.state = match chunk_size(&line)? {
                        0 => State::Trailer,
                        size => State::Chunk(size),
                    };
                }
                State::Chunk(left) => {
                    let taken = self.take(&mut bytes, left);
                    self.state = if taken == left {
                        State::ChunkEnd
                    } else {
                        State::Chunk(left - taken)
                    };
                }
                State::ChunkEnd => {
                    let Some(_) = self.read_until(&mut bytes, b"\r\n")? else {
                        return Ok(());
                    };
                    self.state = State::ChunkSize;
                }
                State::Trailer => {
                    let Some(line) = self.read_until(&mut bytes, b"\r\n")? else {
                        return Ok(());
                    };
                    self.state = if line.is_empty() { State::Done } else { State::Trailer };
                }
                State::Done => return Err("bytes after the end of the response".into()),
            }
        }
        Ok(())
    }

    /// Moves at most `limit` bytes of the input to the body; returns how many.
    fn take(&mut self, bytes: &mut &[u8], limit: usize) -> usize {
        let (part, rest) = bytes.split_at(limit.min(bytes.len()));
        self.body.add(part);
        *bytes = rest;
        part.len()
    }

    /// Returns the input before the delimiter, or `None` while the delimiter is missing.
    fn read_until(&mut self, bytes: &mut &[u8], delimiter: &[u8]) -> Result<Option<Vec<u8>>> {
        // The usual case, which does not copy the bytes after the delimiter.
        if self.line.is_empty()
            && let Some(end) = memchr::memmem::find(bytes, delimiter)
        {
            let line = bytes[..end].to_vec();
            *bytes = &bytes[end + delimiter.len()..];
            return Ok(Some(line));
        }
        let before = self.line.len();
        if before > LARGEST_LINE {
            return Err("a line longer than 64 KiB".into());
        }
        self.line.extend_from_slice(bytes);
        // The delimiter may begin in earlier bytes.
        let search_from = before.saturating_sub(delimiter.len() - 1);
        let Some(at) = memchr::memmem::find(&self.line[search_from..], delimiter) else {
            *bytes = &[];
            return Ok(None);
        };
        let end = search_from + at;
        *bytes = &bytes[end + delimiter.len() - before..];
        let mut line = std::mem::take(&mut self.line);
        line.truncate(end);
        Ok(Some(line))
    }

    fn read_head(&mut self, head: &[u8]) -> Result<State> {
        let text = std::str::from_utf8(head)?;
        let (status, fields) = text.split_once("\r\n").unwrap_or((text, ""));
        self.head.status = status
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(|| format!("invalid status line: {status:?}"))?;
        let mut framing = None;
        for field in fields.split("\r\n") {
            let Some((name, value)) = field.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.len() {
                14 if name.eq_ignore_ascii_case("content-length") => framing = Some(State::Sized(value.parse()?)),
                17 if name.eq_ignore_ascii_case("transfer-encoding") => framing = Some(State::ChunkSize),
                12 if name.eq_ignore_ascii_case("content-type") => {
                    self.head.events = value.starts_with("text/event-stream");
                }
                14 if name.eq_ignore_ascii_case("mcp-session-id") => self.head.session = Some(value.to_owned()),
                10 if name.eq_ignore_ascii_case("connection") => {
                    self.head.closes = value.eq_ignore_ascii_case("close");
                }
                _ => {}
            }
        }
        match framing {
            Some(State::Sized(0)) => Ok(State::Done),
            Some(state) => Ok(state),
            // A 204 has no body, whatever its head says.
            None if self.head.status == 204 => Ok(State::Done),
            None => Err(format!("a response with status {} and without a length", self.head.status).into()),
        }
    }
}

fn chunk_size(line: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(line)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).map_err(|_| format!("invalid chunk size: {text:?}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Response {
        let mut response = Response::new();
        response.reset(false);
        bytes.chunks(step).for_each(|part| response.feed(part).unwrap());
        response
    }

    #[test]
    fn response_across_splits() {
        let chunked = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n\
            5;odd\r\nhello\r\n6\r\n world\r\n0\r\nx: y\r\n\r\n";
        let sized = b"HTTP/1.1 404 No\r\ncontent-length: 11\r\nMcp-Session-Id: s1\r\n\r\nhello world";
        for step in 1..=chunked.len() {
            let response = read(chunked, step);
            assert!(response.is_done() && response.head.events);
            assert_eq!(response.body.content(), b"hello world");
        }
        for step in 1..=sized.len() {
            let response = read(sized, step);
            assert_eq!(
                (response.head.status, response.head.session.as_deref()),
                (404, Some("s1"))
            );
            assert_eq!(response.body.content(), b"hello world");
        }
    }

    #[test]
    fn trailing_bytes_are_errors() {
        let mut response = Response::new();
        assert!(
            response
                .feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab")
                .is_err()
        );
    }
}
