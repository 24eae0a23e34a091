//! Log lines within limits.

use std::collections::VecDeque;

use portolan_core::LogLine;

/// The cost of a kept line beyond its text, in bytes.
const OVERHEAD: usize = 48;

/// The last lines, numbered, within a limit of lines and one of bytes.
pub(super) struct Ring {
    lines: VecDeque<(u64, LogLine)>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl Ring {
    pub(super) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            max_lines,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, number: u64, line: LogLine) {
        self.bytes += line.text.len() + OVERHEAD;
        self.lines.push_back((number, line));
        while self.lines.len() > self.max_lines || self.bytes > self.max_bytes {
            let Some((_, oldest)) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= oldest.text.len() + OVERHEAD;
        }
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }

    /// Returns the text of the last `count` lines.
    pub(super) fn last(&self, count: usize) -> Vec<String> {
        let skip = self.lines.len().saturating_sub(count);
        self.lines
            .iter()
            .skip(skip)
            .map(|(_, line)| line.text.clone())
            .collect()
    }

    /// Returns the lines after number `after`.
    pub(super) fn since(&self, after: u64) -> impl Iterator<Item = &(u64, LogLine)> {
        self.lines.iter().skip_while(move |(number, _)| *number <= after)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn push(ring: &mut Ring, number: u64, text: &str) {
        let line = LogLine {
            at: Timestamp::UNIX_EPOCH,
            text: text.into(),
        };
        ring.push(number, line);
    }

    #[test]
    fn oldest_lines_are_dropped() {
        let mut ring = Ring::new(3, 1 << 20);
        (1..=5).for_each(|n| push(&mut ring, n, &n.to_string()));
        assert_eq!(ring.last(10), ["3", "4", "5"]);
        assert_eq!(ring.since(4).map(|(n, _)| *n).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn bytes_are_bounded() {
        let mut ring = Ring::new(1000, 500);
        (1..=100).for_each(|n| push(&mut ring, n, &"x".repeat(100)));
        assert_eq!(ring.lines.len(), 3);
        push(&mut ring, 101, &"x".repeat(1000));
        assert_eq!((ring.lines.len(), ring.bytes), (0, 0));
    }
}
