//! Splits a byte stream into lines, with a limit and without copying.

use bytes::{Bytes, BytesMut};

use portolan_wire::envelope::ResponseIdScanner;

/// The size of each read, and what the buffer shrinks back to after a long line, in bytes.
const CHUNK: usize = 64 << 10;

/// One line of a server's output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OutputLine {
    /// A line without its end (`\n` or `\r\n`).
    Whole(Bytes),
    /// A line longer than the limit, which was skipped.
    TooLong {
        /// The id of the call, if the line is a response.
        response_to: Option<u64>,
    },
}

/// Splits a byte stream into lines, each a slice of the read buffer.
///
/// It holds at most one line of the limit and one chunk. Of a longer line, only the id is kept.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    buffer: BytesMut,
    /// How many bytes of the buffer are known to have no line end.
    scanned: usize,
    limit: usize,
    /// The line that is being skipped.
    skipping: Option<ResponseIdScanner>,
}

impl LineSplitter {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(CHUNK),
            scanned: 0,
            limit,
            skipping: None,
        }
    }

    /// Returns the buffer for the next read, which has room.
    pub(crate) fn space(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(CHUNK);
        }
        &mut self.buffer
    }

    /// Returns the next line; `None` until it is complete.
    pub(crate) fn next_line(&mut self) -> Option<OutputLine> {
        match memchr::memchr(b'\n', &self.buffer[self.scanned..]) {
            Some(at) => Some(self.end_line(self.scanned + at)),
            None => {
                self.scanned = self.buffer.len();
                if self.skipping.is_some() || self.buffer.len() > self.limit {
                    self.skip();
                }
                None
            }
        }
    }

    /// Returns the rest at the end of the stream, if the last line has no line end.
    pub(crate) fn rest(&mut self) -> Option<OutputLine> {
        match self.buffer.is_empty() && self.skipping.is_none() {
            true => None,
            false => Some(self.finish(BytesMut::len(&self.buffer), 0)),
        }
    }

    fn end_line(&mut self, at: usize) -> OutputLine {
        let line = self.finish(at, 1);
        self.shrink();
        line
    }

    /// Takes `len` bytes as the end of a line, and `end` bytes of line end.
    fn finish(&mut self, len: usize, end: usize) -> OutputLine {
        let mut line = self.buffer.split_to(len + end);
        self.scanned = 0;
        line.truncate(len);
        if self.skipping.is_none() && len <= self.limit {
            if line.ends_with(b"\r") {
                line.truncate(len - 1);
            }
            return OutputLine::Whole(line.freeze());
        }
        let mut scanner = self.skipping.take().unwrap_or_default();
        scanner.push(&line);
        OutputLine::TooLong {
            response_to: scanner.id(),
        }
    }

    /// Skips the present part of a line that is too long.
    fn skip(&mut self) {
        self.skipping.get_or_insert_default().push(&self.buffer);
        self.buffer.clear();
        self.scanned = 0;
        self.shrink();
    }

    /// Gives up the memory that a long line needed.
    fn shrink(&mut self) {
        if self.buffer.capacity() > 4 * CHUNK && self.buffer.len() < CHUNK {
            let mut small = BytesMut::with_capacity(CHUNK);
            small.extend_from_slice(&self.buffer);
            self.buffer = small;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<OutputLine> {
        let mut splitter = LineSplitter::new(limit);
        let mut lines = Vec::new();
        for piece in pieces {
            splitter.space().extend_from_slice(piece);
            lines.extend(std::iter::from_fn(|| splitter.next_line()));
        }
        lines.extend(splitter.rest());
        lines
    }

    fn whole(text: &'static str) -> OutputLine {
        OutputLine::Whole(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn lf_and_crlf_end_lines() {
        let lines = split(100, [&b"a\r\nb\n\nc"[..]]);
        assert_eq!(lines, [whole("a"), whole("b"), whole(""), whole("c")]);
    }

    #[test]
    fn line_over_limit_is_skipped_alone() {
        let long = format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":\"{}\"}}", "x".repeat(200));
        let text = format!("{long}\nb\n");
        for chunk in [1, 7, 1000] {
            let lines = split(100, text.as_bytes().chunks(chunk));
            assert_eq!(
                lines,
                [OutputLine::TooLong { response_to: Some(7) }, whole("b")],
                "{chunk}"
            );
        }
    }

    #[test]
    fn memory_shrinks_after_long_line() {
        let mut splitter = LineSplitter::new(8 << 20);
        splitter.space().extend_from_slice(&vec![b'x'; 4 << 20]);
        splitter.space().extend_from_slice(b"\nnext");
        assert!(matches!(splitter.next_line(), Some(OutputLine::Whole(line)) if line.len() == 4 << 20));
        assert!(splitter.buffer.capacity() <= 2 * CHUNK);
        splitter.space().extend_from_slice(b"\n");
        assert_eq!(splitter.next_line(), Some(whole("next")));
    }

    proptest! {
        #[test]
        fn chunking_does_not_matter(
            lines in prop::collection::vec("[^\\n\\r]{0,30}", 0..12),
            cuts in prop::collection::vec(1usize..20, 1..60),
        ) {
            let text = lines.join("\n") + "\n";
            let mut pieces = Vec::new();
            let mut rest = text.as_bytes();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, later) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = later;
            }
            let got = split(50, pieces);
            let expected: Vec<_> = text
                .trim_end_matches('\n')
                .split('\n')
                .map(|line| match line.len() <= 50 {
                    true => OutputLine::Whole(Bytes::copy_from_slice(line.as_bytes())),
                    false => OutputLine::TooLong { response_to: None },
                })
                .collect();
            let trailing = got.len() - expected.len().min(got.len());
            prop_assert_eq!(&got[..expected.len()], &expected[..]);
            prop_assert!(got[expected.len()..].iter().all(|line| *line == OutputLine::Whole(Bytes::new())), "{trailing}");
        }
    }
}
