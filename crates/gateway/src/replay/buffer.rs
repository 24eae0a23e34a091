//! What was said on a stream, as far as it is kept, and how far it was read.

use std::collections::VecDeque;

use bytes::Bytes;
use portolan_wire::sse;

/// Bytes that a piece takes beside what it holds.
const OVERHEAD: usize = 64;
/// Smaller pieces are copied, so that they do not keep the whole buffer that they came in.
const SMALL: usize = 1024;

/// The pieces of a stream, oldest first. They are numbered, and so are the events that they are pieces of.
#[derive(Debug, Default)]
pub(super) struct ReplayBuffer {
    pieces: VecDeque<Piece>,
    /// The number of the first piece that is kept, and of the one that is read next.
    first: u64,
    next: u64,
    /// What is kept, in bytes.
    size: usize,
    /// The event that was begun last; 0 if none was.
    event: u64,
    /// Whether it is only half said.
    half: bool,
    /// The last event of which nothing, or not all, is kept any more; 0 if there is none.
    torn: u64,
    /// Whether nobody comes back to it.
    unwanted: bool,
    over: Option<StreamEnd>,
}

#[derive(Debug)]
struct Piece {
    event: u64,
    begins: bool,
    data: Bytes,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// All was said.
    Whole,
    /// It broke off, for this reason.
    Broken(String),
}

/// What is read next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A piece; with the number of its event, if it begins one.
    Piece(Option<u64>, Bytes),
    /// Nothing yet.
    Nothing,
    /// Nothing any more.
    End(StreamEnd),
}

/// What comes of reading again from after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    /// What follows it is read next.
    Found,
    /// What follows it is not kept any more.
    Truncated,
    /// Nothing follows it, or it was never said.
    AtEnd,
}

impl ReplayBuffer {
    /// Takes a piece, and lets go of the oldest that were read as long as more than `limit` bytes are kept.
    ///
    /// Streams are cut into pieces by this gateway: the beginning and the end of an event are pieces, or of one piece with it
    /// all. In between there are no line ends, so that both are known by them. What is between events is a comment.
    pub(super) fn push(&mut self, data: Bytes, limit: usize) {
        let begins = !self.half;
        if data.is_empty() || begins && !data.starts_with(sse::EVENT_START) {
            return;
        }
        self.event += u64::from(begins);
        self.half = !data.ends_with(sse::EVENT_END);
        let data = match data.len() < SMALL && !begins {
            true => Bytes::copy_from_slice(&data),
            false => data,
        };
        self.size += data.len() + OVERHEAD;
        self.pieces.push_back(Piece {
            event: self.event,
            begins,
            data,
        });
        self.trim(if self.unwanted { 0 } else { limit });
    }

    /// Lets go of the oldest pieces that were read, as long as more than `limit` bytes are kept. An event is kept whole or
    /// not at all.
    pub(super) fn trim(&mut self, limit: usize) {
        while self.first < self.next
            && let Some(oldest) = self.pieces.front()
            && (self.size > limit || oldest.event == self.torn)
        {
            self.torn = oldest.event;
            self.size -= oldest.data.len() + OVERHEAD;
            self.pieces.pop_front();
            self.first += 1;
        }
    }

    /// The stream is over. Of an event that was only half said, nothing is kept.
    pub(super) fn end(&mut self, over: StreamEnd) {
        while self.half
            && let Some(last) = self.pieces.pop_back_if(|last| last.event == self.event)
        {
            self.size -= last.data.len() + OVERHEAD;
        }
        self.pieces.shrink_to_fit();
        self.over = Some(over);
    }

    /// Reads on.
    pub(super) fn read(&mut self) -> Read {
        let at = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
        match (self.pieces.get(at), &self.over) {
            (Some(piece), _) => {
                self.next += 1;
                Read::Piece(piece.begins.then_some(piece.event), piece.data.clone())
            }
            (None, Some(over)) => Read::End(over.clone()),
            (None, None) => Read::Nothing,
        }
    }

    /// Goes back to what follows the event `after`.
    pub(super) fn rewind(&mut self, after: u64) -> Seek {
        let last = self.event - u64::from(self.half);
        if after > last || after == last && self.over == Some(StreamEnd::Whole) {
            return Seek::AtEnd;
        }
        if after < self.torn {
            return Seek::Truncated;
        }
        let kept = self.pieces.iter().take_while(|piece| piece.event <= after).count();
        self.next = self.first + kept as u64;
        Seek::Found
    }

    /// Goes to where nothing is left to be read.
    pub(super) fn wind(&mut self) {
        self.next = self.first + self.pieces.len() as u64;
    }

    /// Nobody comes back to it: what was read is let go, and so is what comes. Who reads along misses nothing.
    pub(super) fn unwanted(&mut self) {
        self.unwanted = true;
        if self.over.is_some() {
            self.wind();
        }
        self.trim(0);
    }

    /// The event that was begun last; 0 if none was.
    pub(super) fn event(&self) -> u64 {
        self.event
    }

    /// The last event that was said to its end.
    pub(super) fn last(&self) -> u64 {
        self.event - u64::from(self.half)
    }

    /// What is kept, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event in pieces of about this size.
    fn event(data: &str, size: usize) -> Vec<Bytes> {
        let whole = sse::event(data.as_bytes());
        if size >= whole.len() {
            return vec![whole];
        }
        let mut pieces = vec![Bytes::from_static(sse::EVENT_START)];
        let middle = whole.slice(sse::EVENT_START.len()..whole.len() - sse::EVENT_END.len());
        pieces.extend(middle.chunks(size).map(|piece| middle.slice_ref(piece)));
        pieces.push(Bytes::from_static(sse::EVENT_END));
        pieces
    }

    /// Reads all that is there: each event with its number.
    fn read(buffer: &mut ReplayBuffer) -> Vec<(u64, String)> {
        let mut events: Vec<(u64, String)> = Vec::new();
        while let Read::Piece(begun, data) = buffer.read() {
            let text = std::str::from_utf8(&data).expect("UTF-8");
            match begun {
                Some(number) => events.push((number, text.to_owned())),
                None => events.last_mut().expect("an event").1.push_str(text),
            }
        }
        events
    }

    fn written(number: u64, data: &str) -> (u64, String) {
        (number, format!("event: message\ndata: {data}\n\n"))
    }

    #[test]
    fn what_follows_an_event_is_read_again_however_it_was_cut() {
        for size in [1, 2, 7, 1000] {
            let mut buffer = ReplayBuffer::default();
            for number in 1..=5 {
                for piece in event(&format!("event {number}"), size) {
                    buffer.push(piece, 10_000);
                    while let Read::Piece(..) = buffer.read() {}
                }
            }
            for after in 0..5 {
                assert_eq!(buffer.rewind(after), Seek::Found);
                let expected: Vec<_> = (after + 1..=5)
                    .map(|number| written(number, &format!("event {number}")))
                    .collect();
                assert_eq!(read(&mut buffer), expected);
            }
            assert_eq!(buffer.rewind(6), Seek::AtEnd);
            assert_eq!(buffer.rewind(5), Seek::Found, "more may come");
            buffer.end(StreamEnd::Whole);
            assert_eq!(buffer.rewind(5), Seek::AtEnd);
            assert_eq!(buffer.rewind(4), Seek::Found);
        }
    }

    #[test]
    fn comments_are_not_kept() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(Bytes::from_static(sse::COMMENT), 1000);
        buffer.push(sse::event(b"x"), 1000);
        buffer.push(Bytes::from_static(sse::COMMENT), 1000);
        assert_eq!(read(&mut buffer), [written(1, "x")]);
        assert_eq!(buffer.last(), 1);
    }

    #[test]
    fn an_event_is_kept_whole_or_not_at_all() {
        for size in [1, 5, 1000] {
            let limit = 600;
            let mut buffer = ReplayBuffer::default();
            let mut seen = Vec::new();
            for number in 1..=50_u64 {
                let length = usize::try_from(number % 7).expect("small") * 5;
                for piece in event(&"x".repeat(length), size) {
                    buffer.push(piece, limit);
                    seen.append(&mut reel_read(&mut buffer));
                }
                assert!(buffer.size() <= limit + 200, "{}", buffer.size());
                for after in 0..number {
                    let rewound = buffer.rewind(after);
                    let events = read(&mut buffer);
                    match rewound {
                        Seek::Found => assert_eq!(events.len() as u64, number - after, "no gap"),
                        Seek::Truncated => assert_eq!(events.len(), 0),
                        Seek::AtEnd => panic!("{after} of {number}"),
                    }
                }
            }
            let bytes: usize = seen.iter().map(Bytes::len).sum();
            let all: usize = (1..=50)
                .map(|number| sse::event(&vec![b'x'; number % 7 * 5]).len())
                .sum();
            assert_eq!(bytes, all, "who read along missed nothing");
        }
    }

    fn reel_read(buffer: &mut ReplayBuffer) -> Vec<Bytes> {
        let mut pieces = Vec::new();
        while let Read::Piece(_, data) = buffer.read() {
            pieces.push(data);
        }
        pieces
    }

    #[test]
    fn what_was_not_read_is_never_let_go() {
        let mut buffer = ReplayBuffer::default();
        for number in 0..20 {
            buffer.push(sse::event(format!("{number}").as_bytes()), 10);
        }
        assert_eq!(read(&mut buffer).len(), 20);
        buffer.push(sse::event(b"x"), 10);
        assert_eq!(buffer.rewind(19), Seek::Truncated);
        assert_eq!(buffer.rewind(20), Seek::Found);
        assert_eq!(read(&mut buffer), [written(21, "x")]);
    }

    #[test]
    fn of_half_an_event_nothing_is_kept_when_the_stream_breaks_off() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(sse::event(b"x"), 1000);
        for piece in &event("half of this is said", 4)[..3] {
            buffer.push(piece.clone(), 1000);
        }
        assert_eq!(reel_read(&mut buffer).len(), 4);
        assert_eq!((buffer.event(), buffer.last()), (2, 1));
        assert_eq!(buffer.rewind(2), Seek::AtEnd, "it was never said to its end");
        buffer.end(StreamEnd::Broken("why".into()));
        assert_eq!(buffer.rewind(0), Seek::Found);
        assert_eq!(read(&mut buffer), [written(1, "x")]);
        assert_eq!(buffer.read(), Read::End(StreamEnd::Broken("why".into())));
        assert_eq!(buffer.rewind(1), Seek::Found);
        assert_eq!(buffer.read(), Read::End(StreamEnd::Broken("why".into())));
    }

    #[test]
    fn of_what_nobody_wants_only_what_was_not_read_yet_is_left() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(sse::event(b"x"), 1000);
        buffer.push(sse::event(b"y"), 1000);
        assert!(matches!(buffer.read(), Read::Piece(Some(1), _)));
        buffer.unwanted();
        assert_eq!(read(&mut buffer), [written(2, "y")], "who reads along misses nothing");
        buffer.push(sse::event(b"z"), 1000);
        assert_eq!(read(&mut buffer), [written(3, "z")]);
        assert_eq!(buffer.rewind(0), Seek::Truncated);
        buffer.end(StreamEnd::Whole);
        buffer.unwanted();
        assert_eq!((buffer.size(), buffer.rewind(3)), (0, Seek::AtEnd));
    }
}
