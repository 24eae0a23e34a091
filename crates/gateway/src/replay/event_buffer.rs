//! The buffered events of a stream, and the read position in them.

use std::collections::VecDeque;

use bytes::Bytes;
use portolan_wire::sse;

/// Bytes that a chunk takes beside its data.
const OVERHEAD: usize = 64;
/// Smaller chunks are copied, so that they do not keep the whole receive buffer alive.
const SMALL: usize = 1024;

/// The chunks of a stream, oldest first. Chunks are numbered, and so are the events they belong to.
#[derive(Debug, Default)]
pub(super) struct ReplayBuffer {
    chunks: VecDeque<Chunk>,
    /// The numbers of the first chunk that is kept and of the next one to read.
    first: u64,
    next: u64,
    /// The size of what is kept, in bytes.
    size: usize,
    /// The number of the last event that started; 0 if none did.
    last_started: u64,
    /// Whether that event is incomplete.
    is_partial: bool,
    /// The last event that was dropped, in whole or in part; 0 if there is none.
    dropped: u64,
    /// Whether no client will resume the stream.
    discard: bool,
    ended: Option<StreamEnd>,
}

#[derive(Debug)]
struct Chunk {
    event: u64,
    starts: bool,
    data: Bytes,
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    /// The stream ended normally.
    Whole,
    /// The stream failed, for this reason.
    Broken(String),
}

/// The result of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A chunk, with the number of its event if it starts one.
    Chunk(Option<u64>, Bytes),
    /// No data yet.
    Pending,
    /// The end of the stream.
    End(StreamEnd),
}

/// The result of moving the read position to after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seek {
    /// The next event is available.
    Found,
    /// The next event is no longer kept.
    Truncated,
    /// No event follows, or the event was never sent.
    AtEnd,
}

impl ReplayBuffer {
    /// Appends a chunk, and drops the oldest chunks that were read while more than `limit` bytes are kept.
    ///
    /// The gateway itself cuts the stream: the start and the end of an event are chunks of their own, or the event is
    /// one chunk. The data in between has no line ends, so that both can be recognised. Chunks between events are
    /// comments.
    pub(super) fn push(&mut self, data: Bytes, limit: usize) {
        let starts = !self.is_partial;
        if data.is_empty() || starts && !data.starts_with(sse::EVENT_START) {
            return;
        }
        self.last_started += u64::from(starts);
        self.is_partial = !data.ends_with(sse::EVENT_END);
        let data = match data.len() < SMALL && !starts {
            true => Bytes::copy_from_slice(&data),
            false => data,
        };
        self.size += data.len() + OVERHEAD;
        self.chunks.push_back(Chunk {
            event: self.last_started,
            starts,
            data,
        });
        self.trim(if self.discard { 0 } else { limit });
    }

    /// Drops the oldest chunks that were read while more than `limit` bytes are kept. An event is kept whole or not at
    /// all.
    pub(super) fn trim(&mut self, limit: usize) {
        while self.first < self.next
            && let Some(oldest) = self.chunks.front()
            && (self.size > limit || oldest.event == self.dropped)
        {
            self.dropped = oldest.event;
            self.size -= oldest.data.len() + OVERHEAD;
            self.chunks.pop_front();
            self.first += 1;
        }
    }

    /// Marks the stream as ended. Drops an incomplete last event.
    pub(super) fn end(&mut self, ended: StreamEnd) {
        while self.is_partial
            && let Some(last) = self.chunks.pop_back_if(|last| last.event == self.last_started)
        {
            self.size -= last.data.len() + OVERHEAD;
        }
        self.chunks.shrink_to_fit();
        self.ended = Some(ended);
    }

    /// Reads the next chunk.
    pub(super) fn read(&mut self) -> Read {
        let at = usize::try_from(self.next - self.first).unwrap_or(usize::MAX);
        match (self.chunks.get(at), &self.ended) {
            (Some(chunk), _) => {
                self.next += 1;
                Read::Chunk(chunk.starts.then_some(chunk.event), chunk.data.clone())
            }
            (None, Some(ended)) => Read::End(ended.clone()),
            (None, None) => Read::Pending,
        }
    }

    /// Moves the read position to the first chunk after the event `after`.
    pub(super) fn seek(&mut self, after: u64) -> Seek {
        let last_complete = self.last_started - u64::from(self.is_partial);
        if after > last_complete || after == last_complete && self.ended == Some(StreamEnd::Whole) {
            return Seek::AtEnd;
        }
        if after < self.dropped {
            return Seek::Truncated;
        }
        let kept = self.chunks.iter().take_while(|chunk| chunk.event <= after).count();
        self.next = self.first + kept as u64;
        Seek::Found
    }

    /// Moves the read position to the end.
    pub(super) fn seek_to_end(&mut self) {
        self.next = self.first + self.chunks.len() as u64;
    }

    /// Stops keeping data for a resume: drops what was read, now and from now on. The current reader misses nothing.
    pub(super) fn discard(&mut self) {
        self.discard = true;
        if self.ended.is_some() {
            self.seek_to_end();
        }
        self.trim(0);
    }

    /// The number of the last event that started; 0 if none did.
    pub(super) fn last_started(&self) -> u64 {
        self.last_started
    }

    /// Returns the number of the last complete event.
    pub(super) fn last_complete(&self) -> u64 {
        self.last_started - u64::from(self.is_partial)
    }

    /// The size of what is kept, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns an event in chunks of about this size.
    fn event(data: &str, size: usize) -> Vec<Bytes> {
        let whole = sse::event(data.as_bytes());
        if size >= whole.len() {
            return vec![whole];
        }
        let mut chunks = vec![Bytes::from_static(sse::EVENT_START)];
        let middle = whole.slice(sse::EVENT_START.len()..whole.len() - sse::EVENT_END.len());
        chunks.extend(middle.chunks(size).map(|chunk| middle.slice_ref(chunk)));
        chunks.push(Bytes::from_static(sse::EVENT_END));
        chunks
    }

    /// Reads all that is available: each event with its number.
    fn read(buffer: &mut ReplayBuffer) -> Vec<(u64, String)> {
        let mut events: Vec<(u64, String)> = Vec::new();
        while let Read::Chunk(starts, data) = buffer.read() {
            let text = std::str::from_utf8(&data).expect("UTF-8");
            match starts {
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
    fn seeks_in_chunked_events() {
        for size in [1, 2, 7, 1000] {
            let mut buffer = ReplayBuffer::default();
            for number in 1..=5 {
                for chunk in event(&format!("event {number}"), size) {
                    buffer.push(chunk, 10_000);
                    while let Read::Chunk(..) = buffer.read() {}
                }
            }
            for after in 0..5 {
                assert_eq!(buffer.seek(after), Seek::Found);
                let expected: Vec<_> = (after + 1..=5)
                    .map(|number| written(number, &format!("event {number}")))
                    .collect();
                assert_eq!(read(&mut buffer), expected);
            }
            assert_eq!(buffer.seek(6), Seek::AtEnd);
            assert_eq!(buffer.seek(5), Seek::Found, "more may come");
            buffer.end(StreamEnd::Whole);
            assert_eq!(buffer.seek(5), Seek::AtEnd);
            assert_eq!(buffer.seek(4), Seek::Found);
        }
    }

    #[test]
    fn comments_are_not_kept() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(Bytes::from_static(sse::COMMENT), 1000);
        buffer.push(sse::event(b"x"), 1000);
        buffer.push(Bytes::from_static(sse::COMMENT), 1000);
        assert_eq!(read(&mut buffer), [written(1, "x")]);
        assert_eq!(buffer.last_complete(), 1);
    }

    #[test]
    fn trim_drops_whole_events() {
        for size in [1, 5, 1000] {
            let limit = 600;
            let mut buffer = ReplayBuffer::default();
            let mut seen = Vec::new();
            for number in 1..=50_u64 {
                let length = usize::try_from(number % 7).expect("small") * 5;
                for chunk in event(&"x".repeat(length), size) {
                    buffer.push(chunk, limit);
                    seen.append(&mut read_chunks(&mut buffer));
                }
                assert!(buffer.size() <= limit + 200, "{}", buffer.size());
                for after in 0..number {
                    let found = buffer.seek(after);
                    let events = read(&mut buffer);
                    match found {
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
            assert_eq!(bytes, all, "the reader missed nothing");
        }
    }

    fn read_chunks(buffer: &mut ReplayBuffer) -> Vec<Bytes> {
        let mut chunks = Vec::new();
        while let Read::Chunk(_, data) = buffer.read() {
            chunks.push(data);
        }
        chunks
    }

    #[test]
    fn unread_chunks_are_kept() {
        let mut buffer = ReplayBuffer::default();
        for number in 0..20 {
            buffer.push(sse::event(format!("{number}").as_bytes()), 10);
        }
        assert_eq!(read(&mut buffer).len(), 20);
        buffer.push(sse::event(b"x"), 10);
        assert_eq!(buffer.seek(19), Seek::Truncated);
        assert_eq!(buffer.seek(20), Seek::Found);
        assert_eq!(read(&mut buffer), [written(21, "x")]);
    }

    #[test]
    fn failed_stream_drops_partial_event() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(sse::event(b"x"), 1000);
        for chunk in &event("half of this is said", 4)[..3] {
            buffer.push(chunk.clone(), 1000);
        }
        assert_eq!(read_chunks(&mut buffer).len(), 4);
        assert_eq!((buffer.last_started(), buffer.last_complete()), (2, 1));
        assert_eq!(buffer.seek(2), Seek::AtEnd, "it is incomplete");
        buffer.end(StreamEnd::Broken("why".into()));
        assert_eq!(buffer.seek(0), Seek::Found);
        assert_eq!(read(&mut buffer), [written(1, "x")]);
        assert_eq!(buffer.read(), Read::End(StreamEnd::Broken("why".into())));
        assert_eq!(buffer.seek(1), Seek::Found);
        assert_eq!(buffer.read(), Read::End(StreamEnd::Broken("why".into())));
    }

    #[test]
    fn discard_keeps_unread_chunks() {
        let mut buffer = ReplayBuffer::default();
        buffer.push(sse::event(b"x"), 1000);
        buffer.push(sse::event(b"y"), 1000);
        assert!(matches!(buffer.read(), Read::Chunk(Some(1), _)));
        buffer.discard();
        assert_eq!(read(&mut buffer), [written(2, "y")], "the reader misses nothing");
        buffer.push(sse::event(b"z"), 1000);
        assert_eq!(read(&mut buffer), [written(3, "z")]);
        assert_eq!(buffer.seek(0), Seek::Truncated);
        buffer.end(StreamEnd::Whole);
        buffer.discard();
        assert_eq!((buffer.size(), buffer.seek(3)), (0, Seek::AtEnd));
    }
}
