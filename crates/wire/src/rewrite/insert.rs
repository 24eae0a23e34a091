//! Text put into strings at known places of a JSON text, while that flows by.

mod start;

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use self::start::{Begins, Start};
use super::{
    StreamError,
    cut::ChunkCursor,
    skip::{Nested, Text},
};
use crate::object;

/// The longest spelling of a key that is compared with those of a place.
const MAX_KEY: usize = 192;

/// Where the strings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonPath {
    /// The value itself, if it is a string.
    Here,
    /// In these members of the value, if it is an object; or of each object in it, if it is an array. Names have at most 32
    /// bytes.
    Members(&'static [(&'static str, Self)]),
}

/// What is put into each of them. Apart from that the text stays as it is, to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringPrefix {
    front: Bytes,
    behind: Option<(&'static str, Bytes)>,
}

impl StringPrefix {
    /// This text, in front.
    pub fn front(text: &str) -> Self {
        Self {
            front: escaped(text),
            behind: None,
        }
    }

    /// The same; but of strings that begin with `start`, `text` comes behind that.
    #[must_use]
    pub fn or_behind(self, start: &'static str, text: &str) -> Self {
        Self {
            behind: Some((start, escaped(text))),
            ..self
        }
    }

    /// Puts it into a whole text; `None` if there is nothing to put it into.
    ///
    /// ```
    /// use portolan_wire::{Bytes, stream::{Insertion, Place}};
    ///
    /// let text = Bytes::from_static(br#"{"links":[{"to":"a"}, {"to":"b"}],"to":"c"}"#);
    /// let place = Place::Members(&[("links", Place::Members(&[("to", Place::Here)]))]);
    /// let changed = Insertion::front("x-").put_into(&text, place)?;
    /// assert_eq!(changed.unwrap(), r#"{"links":[{"to":"x-a"}, {"to":"x-b"}],"to":"c"}"#);
    /// # Ok::<(), portolan_wire::stream::StreamError>(())
    /// ```
    pub fn put_into(&self, text: &Bytes, place: JsonPath) -> Result<Option<Bytes>, StreamError> {
        let mut stream = InsertStream::new(place, self.clone());
        let mut pieces: Vec<Bytes> = Vec::new();
        stream.push(text.clone(), &mut pieces)?;
        if !stream.finish()? {
            return Ok(None);
        }
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.iter().for_each(|piece| whole.put_slice(piece));
        Ok(Some(whole.freeze()))
    }
}

/// A text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> Bytes {
    let quoted = object::quote(text);
    quoted.slice(1..quoted.len() - 1)
}

/// Puts text into the strings of one JSON text that comes in arbitrary chunks.
///
/// It holds back the beginning of one string, at most. Values at no place are skipped; where there are places, the structure is
/// checked.
#[derive(Debug)]
pub(super) struct InsertStream {
    insertion: StringPrefix,
    state: State,
    /// Where strings are in the value that comes next.
    next: Option<JsonPath>,
    open: Vec<Open>,
    key: Vec<u8>,
    start: Start,
    /// Whether anything was put in.
    changed: bool,
}

/// An object with places, or an array of such; they nest as deep as places do.
#[derive(Debug)]
struct Open {
    members: &'static [(&'static str, JsonPath)],
    array: bool,
}

/// What is expected next.
#[derive(Debug)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    NextKey,
    Key {
        escaped: bool,
    },
    Colon,
    Scalar,
    Text(Text),
    Nested(Nested),
    /// The beginning of a string that something is put into.
    Start,
    AfterValue,
    End,
}

impl InsertStream {
    pub(super) fn new(place: JsonPath, insertion: StringPrefix) -> Self {
        let start = Start::new(insertion.behind.as_ref().map_or("", |(start, _)| start));
        Self {
            insertion,
            state: State::Value,
            next: Some(place),
            open: Vec::new(),
            key: Vec::new(),
            start,
            changed: false,
        }
    }

    /// Takes the next chunk and gives out what can be.
    pub(super) fn push(&mut self, chunk: Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        let mut cut = ChunkCursor::new(chunk, matches!(self.state, State::Start), out);
        let walked = self.run(&mut cut);
        cut.finish();
        walked
    }

    /// Ends the text, and says whether anything was put in.
    pub(super) fn finish(self) -> Result<bool, StreamError> {
        match self.state {
            State::End => Ok(self.changed),
            State::Scalar if self.open.is_empty() => Ok(false),
            _ => Err(StreamError::Unfinished),
        }
    }

    /// Walks through one chunk. Each step takes at least a byte, or ends a value.
    fn run<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>) -> Result<(), StreamError> {
        let mut at = 0;
        while at < cut.text().len() {
            at = match &mut self.state {
                State::Key { .. } => self.in_key(cut.text(), at)?,
                State::Start => self.in_start(cut, at),
                State::Scalar => {
                    let rest = &cut.text()[at..];
                    let end = rest.iter().position(|byte| b",}] \n\r\t".contains(byte));
                    self.in_value(cut.text(), end.map(|length| at + length))
                }
                State::Text(text) => {
                    let end = text.skip(cut.text(), at);
                    self.in_value(cut.text(), end)
                }
                State::Nested(nested) => {
                    let end = nested.skip(cut.text(), at)?;
                    self.in_value(cut.text(), end)
                }
                _ => self.between(cut, at)?,
            };
        }
        Ok(())
    }

    /// A byte outside of keys and values.
    fn between<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, at: usize) -> Result<usize, StreamError> {
        let byte = cut.text()[at];
        let in_array = self.open.last().is_some_and(|open| open.array);
        match (&self.state, byte) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            (State::FirstKey, b'}') | (State::FirstElement, b']') => self.close(),
            (State::Value | State::FirstElement, _) => self.begin_value(cut, at, byte, in_array)?,
            (State::FirstKey | State::NextKey, b'"') => {
                self.key.clear();
                self.state = State::Key { escaped: false };
            }
            (State::Colon, b':') => self.state = State::Value,
            (State::AfterValue, b',') if in_array => {
                self.next = self.open.last().map(|open| JsonPath::Members(open.members));
                self.state = State::Value;
            }
            (State::AfterValue, b',') => self.state = State::NextKey,
            (State::AfterValue, b']') if in_array => self.close(),
            (State::AfterValue, b'}') if !in_array => self.close(),
            (State::End, _) => return Err(StreamError::Trailing),
            _ => return Err(StreamError::Syntax),
        }
        Ok(at + 1)
    }

    fn begin_value<E: Extend<Bytes>>(
        &mut self,
        cut: &mut ChunkCursor<'_, E>,
        at: usize,
        first: u8,
        in_array: bool,
    ) -> Result<(), StreamError> {
        self.state = match (first, self.next) {
            (b'{', Some(JsonPath::Members(members))) => {
                self.open.push(Open { members, array: false });
                State::FirstKey
            }
            (b'[', Some(JsonPath::Members(members))) if !in_array => {
                self.open.push(Open { members, array: true });
                State::FirstElement
            }
            (b'"', Some(JsonPath::Here)) => {
                cut.stop(at + 1);
                self.start.begin();
                State::Start
            }
            (b'"', _) => State::Text(Text::default()),
            (b'{' | b'[', _) => State::Nested(Nested::new(first)),
            (b'-' | b'0'..=b'9' | b't' | b'f' | b'n', _) => State::Scalar,
            _ => return Err(StreamError::Syntax),
        };
        Ok(())
    }

    fn in_key(&mut self, text: &[u8], mut at: usize) -> Result<usize, StreamError> {
        let State::Key { mut escaped } = self.state else {
            return Err(StreamError::Syntax);
        };
        while let Some(&byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' if !escaped => {
                    self.next = self.recognise();
                    self.state = State::Colon;
                    return Ok(at);
                }
                0..0x20 => return Err(StreamError::Syntax),
                _ => escaped = byte == b'\\' && !escaped,
            }
            // One byte more than fits shows that it does not.
            if self.key.len() <= MAX_KEY {
                self.key.push(byte);
            }
        }
        self.state = State::Key { escaped };
        Ok(at)
    }

    /// Where strings are in the member of this key.
    fn recognise(&self) -> Option<JsonPath> {
        let members = self.open.last()?.members;
        let named = |key: &[u8]| members.iter().find(|(name, _)| name.as_bytes() == key);
        let found = match self.key.contains(&b'\\') {
            _ if self.key.len() > MAX_KEY => None,
            false => named(&self.key),
            true => named(object::unescape(&self.key).as_bytes()),
        };
        found.map(|(_, place)| *place)
    }

    /// The beginning of a string decides where the text is put.
    fn in_start<E: Extend<Bytes>>(&mut self, cut: &mut ChunkCursor<'_, E>, mut at: usize) -> usize {
        while let Some(&byte) = cut.text().get(at) {
            let (begins, taken) = self.start.take(byte);
            at += usize::from(taken);
            let piece = match (begins, &self.insertion.behind) {
                (Begins::Open, _) => continue,
                (Begins::Likewise, Some((_, behind))) => [self.start.raw(), behind].concat(),
                _ => [&self.insertion.front, self.start.raw()].concat(),
            };
            cut.insert(at, piece.into());
            cut.resume(at);
            self.changed = true;
            self.state = State::Text(Text::default());
            return at;
        }
        at
    }

    /// The value goes on to `end`, or beyond the chunk.
    fn in_value(&mut self, text: &[u8], end: Option<usize>) -> usize {
        if end.is_some() {
            self.end_value();
        }
        end.unwrap_or(text.len())
    }

    fn end_value(&mut self) {
        self.state = if self.open.is_empty() {
            State::End
        } else {
            State::AfterValue
        };
    }

    fn close(&mut self) {
        self.open.pop();
        self.end_value();
    }
}
