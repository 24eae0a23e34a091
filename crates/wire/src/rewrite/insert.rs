//! Inserts text into strings at known paths of a JSON text that arrives in chunks.

mod prefix_match;

#[cfg(test)]
mod tests;

use bytes::{BufMut, Bytes, BytesMut};

use self::prefix_match::{PrefixMatch, PrefixMatcher};
use super::{StreamError, cursor::ChunkCursor};
use crate::{
    object,
    tokenizer::{Container, Handler, Tokenizer, ValueAction},
};

/// The strings of a JSON value that text is inserted into.
///
/// ```
/// use portolan_wire::rewrite::JsonPath;
///
/// // The `uri` of the object `resource`, in each object of the array `content`.
/// const URIS: JsonPath =
///     JsonPath::Members(&[("content", JsonPath::Members(&[("resource", JsonPath::Members(&[("uri", JsonPath::Here)]))]))]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonPath {
    /// The value itself, if it is a string.
    Here,
    /// Strings in these members of the value, if it is an object, or of each object in it, if it is an array. Names have at
    /// most 32 bytes.
    Members(&'static [(&'static str, Self)]),
}

/// The text that is inserted into each string. All other bytes stay as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringPrefix {
    front: Bytes,
    behind: Option<(&'static str, Bytes)>,
}

impl StringPrefix {
    /// Returns a prefix that inserts `text` at the beginning of each string.
    pub fn front(text: &str) -> Self {
        Self {
            front: escaped(text),
            behind: None,
        }
    }

    /// Inserts `text` behind `start` instead, in strings that begin with `start`, which is ASCII.
    #[must_use]
    pub fn or_behind(self, start: &'static str, text: &str) -> Self {
        Self {
            behind: Some((start, escaped(text))),
            ..self
        }
    }

    /// Inserts it into a whole text. Returns `None` if the text has no string at `path`.
    ///
    /// # Errors
    ///
    /// [`StreamError`] if the text is not JSON, as far as that is checked: along `path`.
    ///
    /// ```
    /// use portolan_wire::{Bytes, rewrite::{JsonPath, StringPrefix}};
    ///
    /// let text = Bytes::from_static(br#"{"links":[{"to":"a"}, {"to":"b"}],"to":"c"}"#);
    /// let path = JsonPath::Members(&[("links", JsonPath::Members(&[("to", JsonPath::Here)]))]);
    /// let changed = StringPrefix::front("x-").put_into(&text, path)?;
    /// assert_eq!(changed.unwrap(), r#"{"links":[{"to":"x-a"}, {"to":"x-b"}],"to":"c"}"#);
    /// # Ok::<(), portolan_wire::rewrite::StreamError>(())
    /// ```
    pub fn put_into(&self, text: &Bytes, path: JsonPath) -> Result<Option<Bytes>, StreamError> {
        let mut stream = InsertStream::new(path, self.clone());
        let mut pieces: Vec<Bytes> = Vec::new();
        stream.push(text, &mut pieces)?;
        if !stream.finish()? {
            return Ok(None);
        }
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.iter().for_each(|piece| whole.put_slice(piece));
        Ok(Some(whole.freeze()))
    }
}

/// Returns a text as it stands between the quotes of a JSON string.
fn escaped(text: &str) -> Bytes {
    let quoted = object::quote(text);
    quoted.slice(1..quoted.len() - 1)
}

/// Inserts text into the strings of one JSON text that arrives in chunks.
///
/// It holds back the beginning of one string, at most. Values off the path are skipped; along the path, the structure is
/// checked.
#[derive(Debug)]
pub(super) struct InsertStream {
    tokenizer: Tokenizer,
    strings: Strings,
}

/// Which strings are on the path, and how the present one begins.
#[derive(Debug)]
struct Strings {
    prefix: StringPrefix,
    /// The path within the value that comes next.
    next: Option<JsonPath>,
    /// The members on the path of each container that was entered.
    open: Vec<&'static [(&'static str, JsonPath)]>,
    matcher: PrefixMatcher,
    has_changed: bool,
}

/// The strings, and the chunk that text is inserted into.
struct ChunkInserter<'s, 'c, E> {
    strings: &'s mut Strings,
    cursor: ChunkCursor<'c, E>,
}

impl InsertStream {
    pub(super) fn new(path: JsonPath, prefix: StringPrefix) -> Self {
        let matcher = PrefixMatcher::new(prefix.behind.as_ref().map_or("", |(start, _)| start));
        Self {
            tokenizer: Tokenizer::new(),
            strings: Strings {
                prefix,
                next: Some(path),
                open: Vec::new(),
                matcher,
                has_changed: false,
            },
        }
    }

    /// Takes the next chunk and writes what is certain to `out`.
    pub(super) fn push(&mut self, chunk: &Bytes, out: &mut impl Extend<Bytes>) -> Result<(), StreamError> {
        let mut inserter = ChunkInserter {
            strings: &mut self.strings,
            cursor: ChunkCursor::new(chunk, self.tokenizer.is_inspecting(), out),
        };
        let pushed = self.tokenizer.push(chunk, &mut inserter);
        inserter.cursor.finish();
        pushed
    }

    /// Ends the text. Returns whether anything was inserted.
    pub(super) fn finish(self) -> Result<bool, StreamError> {
        match self.tokenizer.is_complete() {
            true => Ok(self.strings.has_changed),
            false => Err(StreamError::Unfinished),
        }
    }
}

impl Strings {
    /// Returns the path within the member of this key.
    fn path_of(&self, key: &[u8]) -> Option<JsonPath> {
        let members = self.open.last()?;
        let named = |key: &[u8]| members.iter().find(|(name, _)| name.as_bytes() == key);
        let found = match key.contains(&b'\\') {
            false => named(key),
            true => named(object::unescape(key).as_bytes()),
        };
        found.map(|(_, path)| *path)
    }
}

impl<E: Extend<Bytes>> Handler for ChunkInserter<'_, '_, E> {
    type Error = StreamError;
    /// The longest spelling of a key on a path: 32 bytes, all in escapes.
    const MAX_KEY: usize = 192;
    const MAX_SKIPPED_DEPTH: u32 = 1022;

    fn key(&mut self, key: &[u8], _at: usize) -> Result<(), StreamError> {
        self.strings.next = self.strings.path_of(key);
        Ok(())
    }

    fn long_key(&mut self, _key: &[u8], _at: usize) {
        self.strings.next = None;
    }

    fn value(&mut self, first: u8, at: usize, parent: Option<Container>) -> Result<ValueAction, StreamError> {
        let strings = &mut *self.strings;
        let in_array = parent == Some(Container::Array);
        if in_array {
            strings.next = strings.open.last().map(|members| JsonPath::Members(members));
        }
        Ok(match (first, strings.next) {
            (b'{', Some(JsonPath::Members(members))) => {
                strings.open.push(members);
                ValueAction::Enter
            }
            (b'[', Some(JsonPath::Members(members))) if !in_array => {
                strings.open.push(members);
                ValueAction::Enter
            }
            (b'"', Some(JsonPath::Here)) => {
                self.cursor.stop(at + 1);
                strings.matcher.reset();
                ValueAction::Inspect
            }
            _ => ValueAction::Skip,
        })
    }

    /// The beginning of a string decides where the text is inserted.
    fn inspect(&mut self, text: &[u8], mut at: usize) -> (usize, bool) {
        let strings = &mut *self.strings;
        while let Some(&byte) = text.get(at) {
            let (matched, is_taken) = strings.matcher.push(byte);
            at += usize::from(is_taken);
            let piece = match (matched, &strings.prefix.behind) {
                (PrefixMatch::Undecided, _) => continue,
                (PrefixMatch::Equal, Some((_, behind))) => [strings.matcher.raw(), behind].concat(),
                _ => [&strings.prefix.front, strings.matcher.raw()].concat(),
            };
            self.cursor.insert(at, piece.into());
            self.cursor.resume(at);
            strings.has_changed = true;
            return (at, true);
        }
        (at, false)
    }

    fn close(&mut self, _at: usize, _is_empty: bool) {
        self.strings.open.pop();
    }
}
