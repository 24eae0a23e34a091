//! The log of messages sent on the GET streams of a session, for clients that resume one.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::replicas::{Handle, random_handle};

/// The maximum number of logged messages, and of their bytes.
const MAX_MESSAGES: usize = 100;
const MAX_BYTES: usize = 64 * 1024;

/// The last messages, each with its stream. One counter numbers the messages of all streams.
#[derive(Debug)]
pub(super) struct SentLog {
    messages: VecDeque<(Handle, u64, Bytes)>,
    bytes: usize,
    /// The number of the last message.
    last: u64,
    /// The number of the last message that was dropped.
    dropped: u64,
}

impl Default for SentLog {
    fn default() -> Self {
        // Random, so that numbers of another replica, or from before this one evicted the session, do not match.
        let handle = random_handle();
        let start = u64::from(u32::from_be_bytes([handle[0], handle[1], handle[2], handle[3]]));
        Self {
            messages: VecDeque::new(),
            bytes: 0,
            last: start,
            dropped: start,
        }
    }
}

impl SentLog {
    /// The number of the last message.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Logs a message sent on a stream, and returns its number.
    pub(super) fn log(&mut self, stream: Handle, message: &Bytes) -> u64 {
        self.last += 1;
        self.bytes += message.len();
        self.messages.push_back((stream, self.last, message.clone()));
        while self.messages.len() > MAX_MESSAGES || self.bytes > MAX_BYTES {
            self.drop_first();
        }
        self.last
    }

    /// Returns the logged messages of a stream after `after`, and whether none is missing.
    pub(super) fn after(&self, stream: Handle, after: u64) -> (VecDeque<(u64, Bytes)>, bool) {
        let matches = |(on, number, _): &&(Handle, u64, Bytes)| *on == stream && *number > after;
        let messages = self.messages.iter().filter(matches);
        let replay = messages
            .map(|(_, number, message)| (*number, message.clone()))
            .collect();
        (replay, (self.dropped..=self.last).contains(&after))
    }

    /// Drops all messages.
    pub(super) fn clear(&mut self) {
        while !self.messages.is_empty() {
            self.drop_first();
        }
        self.messages.shrink_to_fit();
    }

    fn drop_first(&mut self) {
        if let Some((_, number, message)) = self.messages.pop_front() {
            self.dropped = number;
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
    fn replay_is_per_stream() {
        let mut sent = SentLog::default();
        let start = sent.last();
        let first = sent.log(ONE, &text("a"));
        sent.log(TWO, &text("b"));
        let third = sent.log(ONE, &text("c"));
        assert_eq!(sent.after(ONE, start).0, [(first, text("a")), (third, text("c"))]);
        assert_eq!(sent.after(ONE, first).0, [(third, text("c"))]);
        assert_eq!(sent.after(TWO, third), (VecDeque::new(), true));
    }

    #[test]
    fn dropped_messages_are_a_gap() {
        let mut sent = SentLog::default();
        let start = sent.last();
        assert!(sent.after(ONE, start).1);
        assert!(!sent.after(ONE, start.wrapping_sub(1)).1);
        assert!(!sent.after(ONE, start + 1).1, "nothing has this number yet");
        for _ in 0..MAX_MESSAGES {
            sent.log(ONE, &text("a"));
        }
        assert!(sent.after(ONE, start).1);
        sent.log(ONE, &text("a"));
        assert!(!sent.after(ONE, start).1);
        assert_eq!(sent.after(ONE, start).0.len(), MAX_MESSAGES);
        let large = sent.log(ONE, &text(&"x".repeat(MAX_BYTES + 1)));
        assert!(!sent.after(ONE, large - 1).1);
        assert!(sent.after(ONE, large).1);
        sent.log(ONE, &text("a"));
        sent.clear();
        assert!(!sent.after(ONE, large).1);
        assert!(sent.after(ONE, sent.last()).1);
    }
}
