//! What was told last on the GET streams of a session, for a client that comes back to one of them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::replicas::{Handle, random_handle};

/// Messages that are remembered, and their bytes.
const REMEMBERED: usize = 100;
const BYTES: usize = 64 * 1024;

/// The last messages, each with the stream that it went out on. One counter numbers those of all streams.
#[derive(Debug)]
pub(super) struct SentLog {
    messages: VecDeque<(Handle, u64, Bytes)>,
    bytes: usize,
    /// The number of the last message.
    last: u64,
    /// The last message that is remembered no longer.
    forgotten: u64,
}

impl Default for SentLog {
    fn default() -> Self {
        // Not zero, so that numbers that another replica has given, or this one before it forgot the session, are not taken
        // for these.
        let handle = random_handle();
        let start = u64::from(u32::from_be_bytes([handle[0], handle[1], handle[2], handle[3]]));
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            last: start,
            forgotten: start,
        }
    }
}

impl SentLog {
    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Notes a message that goes out on a stream, and gives its number.
    pub(super) fn note(&mut self, stream: Handle, message: &Bytes) -> u64 {
        self.last += 1;
        self.bytes += message.len();
        self.messages.push_back((stream, self.last, message.clone()));
        while self.messages.len() > REMEMBERED || self.bytes > BYTES {
            self.forget_first();
        }
        self.last
    }

    /// What went out on a stream after the message `after`, as far as it is remembered; and whether that is all.
    pub(super) fn after(&self, stream: Handle, after: u64) -> (VecDeque<(u64, Bytes)>, bool) {
        let on_it = |(on, number, _): &&(Handle, u64, Bytes)| *on == stream && *number > after;
        let messages = self.messages.iter().filter(on_it);
        let again = messages
            .map(|(_, number, message)| (*number, message.clone()))
            .collect();
        (again, (self.forgotten..=self.last).contains(&after))
    }

    /// Remembers nothing any more.
    pub(super) fn forget(&mut self) {
        while !self.messages.is_empty() {
            self.forget_first();
        }
        self.messages.shrink_to_fit();
    }

    fn forget_first(&mut self) {
        if let Some((_, number, message)) = self.messages.pop_front() {
            self.forgotten = number;
            self.bytes -= message.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Handle = [1; 16];
    const TWO: Handle = [2; 16];

    fn text(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn what_went_out_on_another_stream_is_not_told_again() {
        let mut sent = SentLog::default();
        let start = sent.last();
        let first = sent.note(ONE, &text("a"));
        sent.note(TWO, &text("b"));
        let third = sent.note(ONE, &text("c"));
        assert_eq!(sent.after(ONE, start).0, [(first, text("a")), (third, text("c"))]);
        assert_eq!(sent.after(ONE, first).0, [(third, text("c"))]);
        assert_eq!(sent.after(TWO, third), (VecDeque::new(), true));
    }

    #[test]
    fn a_gap_is_known_for_one() {
        let mut sent = SentLog::default();
        let start = sent.last();
        assert!(sent.after(ONE, start).1);
        assert!(!sent.after(ONE, start.wrapping_sub(1)).1);
        assert!(!sent.after(ONE, start + 1).1, "nothing has this number yet");
        for _ in 0..REMEMBERED {
            sent.note(ONE, &text("a"));
        }
        assert!(sent.after(ONE, start).1);
        sent.note(ONE, &text("a"));
        assert!(!sent.after(ONE, start).1);
        assert_eq!(sent.after(ONE, start).0.len(), REMEMBERED);
        let large = sent.note(ONE, &text(&"x".repeat(BYTES + 1)));
        assert!(!sent.after(ONE, large - 1).1);
        assert!(sent.after(ONE, large).1);
        sent.note(ONE, &text("a"));
        sent.forget();
        assert!(!sent.after(ONE, large).1);
        assert!(sent.after(ONE, sent.last()).1);
    }
}
