//! Decodes event streams.

use bytes::{Bytes, BytesMut};

use super::{LinePart, LineSplitter};

/// An event. `data` is a slice of the stream if it was one line in one chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The type; `None` means `message`.
    pub event: Option<Box<str>>,
    /// The id of this event. Unlike in a browser, later events do not inherit it.
    pub id: Option<Box<str>>,
    /// All data lines, joined by LF.
    pub data: Bytes,
    /// The requested reconnection time, in milliseconds.
    pub retry: Option<u64>,
}

impl Event {
    /// Returns `true` if the data may be a message: events with another name are none, such as a server's own keep-alive.
    ///
    /// ```
    /// use portolan_wire::{Bytes, sse::Decoder};
    ///
    /// let mut decoder = Decoder::new(1 << 20);
    /// decoder.push(Bytes::from_static(b"event: ping\ndata: 1\n\nevent: message\ndata: {}\n\n"));
    /// assert!(!decoder.next_event()?.unwrap().is_message());
    /// assert!(decoder.next_event()?.unwrap().is_message());
    /// # Ok::<(), portolan_wire::sse::EventTooLarge>(())
    /// ```
    pub fn is_message(&self) -> bool {
        self.event.as_deref().is_none_or(|name| name == "message")
    }
}

/// An event is larger than the decoder's limit; the stream cannot be decoded any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is larger than {limit} bytes")]
pub struct EventTooLarge {
    /// The limit, in bytes.
    pub limit: usize,
}

/// Decodes whole events.
///
/// Push a chunk, then take events until there is none. An event is reported if it has any field: priming events, which
/// have an id and empty data, are. Comments of any length are skipped. An event that is cut off by the end of the stream is
/// dropped.
///
/// ```
/// use portolan_wire::{Bytes, sse::Decoder};
///
/// let mut decoder = Decoder::new(1 << 20);
/// decoder.push(Bytes::from_static(b": comment\n\nid: 7\ndata: {\"a\""));
/// assert_eq!(decoder.next_event()?, None);
/// decoder.push(Bytes::from_static(b":1}\n\n"));
/// let event = decoder.next_event()?.unwrap();
/// assert_eq!((event.id.as_deref(), &event.data[..]), (Some("7"), &br#"{"a":1}"#[..]));
/// # Ok::<(), portolan_wire::sse::EventTooLarge>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    splitter: LineSplitter,
    max_event: usize,
    event: Option<Box<str>>,
    id: Option<Box<str>>,
    retry: Option<u64>,
    data: Data,
    /// A long line is open, and it is a data line.
    long: Option<bool>,
    failed: bool,
}

#[derive(Debug, Default)]
enum Data {
    #[default]
    None,
    One(Bytes),
    Many(BytesMut),
}

impl Decoder {
    /// Returns a decoder of events of up to `max_event` bytes.
    pub fn new(max_event: usize) -> Self {
        Self {
            splitter: LineSplitter::default(),
            max_event,
            event: None,
            id: None,
            retry: None,
            data: Data::None,
            long: None,
            failed: false,
        }
    }

    /// Adds the next chunk.
    pub fn push(&mut self, chunk: Bytes) {
        self.splitter.push(chunk);
    }

    /// Returns the next event; `None` until another chunk is pushed.
    ///
    /// # Errors
    ///
    /// [`EventTooLarge`] if the event is larger than the limit.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLarge> {
        let too_large = EventTooLarge { limit: self.max_event };
        if self.failed {
            return Err(too_large);
        }
        while let Some(piece) = self.splitter.next_piece() {
            let blank = matches!(&piece, LinePart::Line(line) if line.is_empty());
            if blank {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else if self.take(piece).is_none() {
                self.failed = true;
                return Err(too_large);
            }
        }
        Ok(None)
    }

    /// Adds a piece to the event. `None` if that makes it too large.
    fn take(&mut self, piece: LinePart) -> Option<()> {
        match piece {
            LinePart::Line(line) => self.field(line),
            LinePart::LineStart(start) => {
                let field = Field::of(&start);
                self.long = Some(matches!(field, Field::Data(_)));
                match field {
                    Field::Data(at) => self.data.line(start.slice(at..), self.max_event),
                    Field::Nothing => Some(()),
                    // No honest type, id or time is that long.
                    _ => None,
                }
            }
            LinePart::LinePart(part) => match self.long {
                Some(true) => self.data.more(&part, self.max_event),
                _ => Some(()),
            },
            LinePart::LineEnd => {
                self.long = None;
                Some(())
            }
        }
    }

    fn field(&mut self, line: Bytes) -> Option<()> {
        match Field::of(&line) {
            Field::Data(at) => self.data.line(line.slice(at..), self.max_event)?,
            Field::Event(at) => self.event = Some(self.name(&line[at..])?),
            // A NUL makes the specification ignore the id.
            Field::Id(at) if !line[at..].contains(&0) => self.id = Some(self.name(&line[at..])?),
            Field::Retry(at) if line[at..].iter().all(u8::is_ascii_digit) => {
                self.retry = std::str::from_utf8(&line[at..]).ok().and_then(|text| text.parse().ok());
            }
            _ => {}
        }
        Some(())
    }

    fn name(&mut self, text: &[u8]) -> Option<Box<str>> {
        (text.len() <= self.max_event).then(|| String::from_utf8_lossy(text).into())
    }

    fn dispatch(&mut self) -> Option<Event> {
        let data = std::mem::take(&mut self.data);
        let event = Event {
            event: self.event.take().filter(|name| !name.is_empty()),
            id: self.id.take(),
            retry: self.retry.take(),
            data: match data {
                Data::None => Bytes::new(),
                Data::One(line) => line,
                Data::Many(lines) => lines.freeze(),
            },
        };
        let empty = event.data.is_empty() && event.id.is_none() && event.retry.is_none();
        (!empty).then_some(event)
    }
}

impl Data {
    /// Begins another data line.
    fn line(&mut self, line: Bytes, limit: usize) -> Option<()> {
        match self {
            Self::None if line.len() <= limit => *self = Self::One(line),
            Self::None => return None,
            _ => {
                self.more(b"\n", limit)?;
                self.more(&line, limit)?;
            }
        }
        Some(())
    }

    /// Continues the last data line.
    fn more(&mut self, part: &[u8], limit: usize) -> Option<()> {
        if self.len() + part.len() > limit {
            return None;
        }
        if let Self::One(line) = self {
            let mut lines = BytesMut::with_capacity((line.len() + part.len()) * 2);
            lines.extend_from_slice(line);
            *self = Self::Many(lines);
        }
        if let Self::Many(lines) = self {
            lines.extend_from_slice(part);
        }
        Some(())
    }

    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(line) => line.len(),
            Self::Many(lines) => lines.len(),
        }
    }
}

/// The field of a line, and where its value begins.
enum Field {
    Data(usize),
    Event(usize),
    Id(usize),
    Retry(usize),
    Nothing,
}

impl Field {
    /// Needs the start of a line only, as far as its value.
    fn of(line: &[u8]) -> Self {
        let head = &line[..line.len().min(8)];
        let colon = memchr::memchr(b':', head).unwrap_or(if head.len() < 8 { line.len() } else { 0 });
        let value = match line.get(colon) {
            Some(b':') => colon + 1 + usize::from(line.get(colon + 1) == Some(&b' ')),
            _ => colon,
        };
        match &line[..colon] {
            b"data" => Self::Data(value),
            b"event" => Self::Event(value),
            b"id" => Self::Id(value),
            b"retry" => Self::Retry(value),
            _ => Self::Nothing,
        }
    }
}
