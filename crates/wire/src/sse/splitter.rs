//! Splits an event stream into lines, short ones whole and long ones in parts.

use bytes::{Buf, Bytes};

/// A [`LinePart::LineStart`] holds at least this much of its line: enough for any field name.
const HEAD: usize = 64;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A line, or a part of one, without its line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinePart {
    /// A whole line, at most `max_short` long.
    Line(Bytes),
    /// The first 64 bytes or more of a longer line.
    LineStart(Bytes),
    /// The next part of it.
    LinePart(Bytes),
    /// The end of a longer line.
    LineEnd,
}

/// Splits an event stream into lines, holding at most `max_short` bytes back.
///
/// Lines end with LF, CRLF or CR, wherever the chunks are cut. A byte order mark at the very
/// start is dropped. A line that lies in one chunk is a slice of it. Push a chunk, then take
/// parts until there is none.
#[derive(Debug)]
pub struct LineSplitter {
    max_short: usize,
    chunk: Bytes,
    /// The start of a line that may still turn out short.
    carry: Vec<u8>,
    in_long: bool,
    /// The last line ended with CR at the end of its chunk: an LF next belongs to it.
    after_cr: bool,
    /// No line has been returned yet.
    at_start: bool,
}

impl Default for LineSplitter {
    /// Lines up to 16 KiB are short.
    fn default() -> Self {
        Self::new(16 * 1024)
    }
}

impl LineSplitter {
    /// Returns a splitter that returns lines of up to `max_short` bytes whole. Less than 64 counts as 64.
    pub fn new(max_short: usize) -> Self {
        Self {
            max_short: max_short.max(HEAD),
            chunk: Bytes::new(),
            carry: Vec::new(),
            in_long: false,
            after_cr: false,
            at_start: true,
        }
    }

    /// Adds the next chunk, behind the rest of the one before.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut both = Vec::with_capacity(self.chunk.len() + chunk.len());
            both.extend_from_slice(&self.chunk);
            both.extend_from_slice(&chunk);
            self.chunk = both.into();
        }
    }

    /// Returns the next line or part; `None` until another chunk is pushed.
    pub fn next_piece(&mut self) -> Option<LinePart> {
        if self.chunk.is_empty() {
            return None;
        }
        if std::mem::take(&mut self.after_cr) && self.chunk[0] == b'\n' {
            self.chunk.advance(1);
            if self.chunk.is_empty() {
                return None;
            }
        }
        match memchr::memchr2(b'\n', b'\r', &self.chunk) {
            Some(end) => Some(self.ended(end)),
            None => self.unended(),
        }
    }

    /// Returns true if all lines so far have ended.
    pub fn is_between_lines(&self) -> bool {
        self.chunk.is_empty() && self.carry.is_empty() && !self.in_long
    }

    /// The chunk holds the end of the line.
    fn ended(&mut self, end: usize) -> LinePart {
        if self.in_long {
            if end > 0 {
                return LinePart::LinePart(self.chunk.split_to(end));
            }
            self.skip_line_end();
            self.in_long = false;
            return LinePart::LineEnd;
        }
        if self.carry.len() + end > self.max_short {
            self.in_long = true;
            return self.long_start(end);
        }
        let line = if self.carry.is_empty() {
            self.chunk.split_to(end)
        } else {
            self.carry.extend_from_slice(&self.chunk[..end]);
            self.chunk.advance(end);
            Bytes::from(std::mem::take(&mut self.carry))
        };
        self.skip_line_end();
        LinePart::Line(self.without_bom(line))
    }

    /// The line goes on beyond the chunk.
    fn unended(&mut self) -> Option<LinePart> {
        let len = self.chunk.len();
        if self.in_long {
            return Some(LinePart::LinePart(std::mem::take(&mut self.chunk)));
        }
        if self.carry.len() + len > self.max_short {
            self.in_long = true;
            return Some(self.long_start(len));
        }
        self.carry.extend_from_slice(&self.chunk);
        self.chunk.clear();
        None
    }

    /// Begins a long line of which the chunk holds `here` bytes.
    fn long_start(&mut self, here: usize) -> LinePart {
        let start = if self.carry.is_empty() {
            self.chunk.split_to(here)
        } else {
            // Since carry and `here` exceed `max_short`, there is enough to fill the head.
            let wanted = HEAD.saturating_sub(self.carry.len()).min(here);
            self.carry.extend_from_slice(&self.chunk[..wanted]);
            self.chunk.advance(wanted);
            Bytes::from(std::mem::take(&mut self.carry))
        };
        LinePart::LineStart(self.without_bom(start))
    }

    fn skip_line_end(&mut self) {
        let cr = self.chunk[0] == b'\r';
        self.chunk.advance(1);
        if cr {
            match self.chunk.first() {
                Some(b'\n') => self.chunk.advance(1),
                Some(_) => {}
                None => self.after_cr = true,
            }
        }
    }

    fn without_bom(&mut self, line: Bytes) -> Bytes {
        if std::mem::take(&mut self.at_start) && line.starts_with(BOM) {
            line.slice(BOM.len()..)
        } else {
            line
        }
    }
}
