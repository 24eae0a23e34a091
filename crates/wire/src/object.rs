//! JSON objects: members in order, with raw values.

mod string;

#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::HashSet};

use bytes::{BufMut, Bytes, BytesMut};

pub(crate) use self::string::{is_text, put_quoted, unescape};
pub use self::string::{quote, text};
use crate::scan::{Fault, Scanner};

/// The most members of an object: as a [`RawObject`] it needs many times the memory of its text.
const MAX_MEMBERS: usize = 65_536;

/// Up to this many members, duplicates are found without a set.
const FEW: usize = 16;

/// The members of one JSON object, in order, with raw values.
///
/// Members that are not changed keep their text to the byte; only white space between members may be lost. Keys are
/// compared decoded: `"na\u006de"` is `name`.
///
/// ```
/// use portolan_wire::{Bytes, object::RawObject};
///
/// let mut params = RawObject::parse(&Bytes::from_static(br#"{"name":"a","n":1.0}"#))?;
/// params.set("name", Bytes::from_static(br#""b""#));
/// assert_eq!(params.to_bytes(), r#"{"name":"b","n":1.0}"#);
/// # Ok::<(), portolan_wire::object::ObjectError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct RawObject {
    members: Vec<Member>,
    /// The text that it was parsed from.
    source: Bytes,
    /// Set if a member was set or removed since.
    changed: bool,
}

/// How values are parsed.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// Completely.
    Checked,
    /// As far as needed to find their ends.
    Skipped,
}

#[derive(Debug, Clone)]
struct Member {
    key: Key,
    value: Bytes,
}

/// A key as it is written, between its quotes.
#[derive(Debug, Clone)]
enum Key {
    /// Its position in the text, and its decoded form if it has escapes.
    Read {
        start: u32,
        end: u32,
        decoded: Option<Box<str>>,
    },
    /// A key that was set.
    Set { raw: Bytes, decoded: Box<str> },
}

impl RawObject {
    /// Returns an object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses an object. The whole text is checked to be UTF-8 and JSON.
    ///
    /// # Errors
    ///
    /// [`ObjectError`] if the text is not a JSON object, or a key occurs twice.
    pub fn parse(raw: &Bytes) -> Result<Self, ObjectError> {
        if std::str::from_utf8(raw).is_err() {
            return Err(ObjectError::NotJson);
        }
        Self::read(raw, Values::Checked)
    }

    /// Parses an object in a text that [`envelope::parse`](crate::envelope::parse) has checked: the content of its members
    /// is skipped. With a text that was not checked, the members may be wrong.
    ///
    /// # Errors
    ///
    /// [`ObjectError`] if the text is not a JSON object, or a key occurs twice.
    pub fn parse_checked(raw: &Bytes) -> Result<Self, ObjectError> {
        Self::read(raw, Values::Skipped)
    }

    fn read(raw: &Bytes, values: Values) -> Result<Self, ObjectError> {
        if u32::try_from(raw.len()).is_err() {
            return Err(ObjectError::TooMany);
        }
        let mut scanner = Scanner::new(raw, crate::scan::MAX_DEPTH);
        if scanner.peek().is_some_and(|first| first != b'{') {
            return Err(ObjectError::NotAnObject);
        }
        scanner.enter(b'{')?;
        let mut members = Vec::new();
        if !scanner.take(b'}') {
            loop {
                if members.len() == MAX_MEMBERS {
                    return Err(ObjectError::TooMany);
                }
                members.push(Member::read(raw, &mut scanner, values)?);
                if !scanner.take(b',') {
                    break;
                }
            }
            scanner.expect(b'}')?;
        }
        scanner.end()?;
        if let Some(key) = duplicate(raw, &members) {
            return Err(ObjectError::Duplicate(key.into()));
        }
        Ok(Self {
            members,
            source: raw.clone(),
            changed: false,
        })
    }

    /// Returns the raw value of a member.
    pub fn get(&self, key: &str) -> Option<&Bytes> {
        self.position(key).map(|at| &self.members[at].value)
    }

    /// Returns true if there is such a member.
    pub fn contains(&self, key: &str) -> bool {
        self.position(key).is_some()
    }

    /// Sets the raw value of a member: in its present position, or last. Returns the former value.
    pub fn set(&mut self, key: &str, value: Bytes) -> Option<Bytes> {
        self.changed = true;
        match self.position(key) {
            Some(at) => Some(std::mem::replace(&mut self.members[at].value, value)),
            None => {
                self.members.push(Member::new(key, value));
                None
            }
        }
    }

    /// Sets the raw value of a member and makes it the first. Returns the former value.
    pub fn insert_first(&mut self, key: &str, value: Bytes) -> Option<Bytes> {
        let old = self.remove(key);
        self.changed = true;
        self.members.insert(0, Member::new(key, value));
        old
    }

    /// Removes a member and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Bytes> {
        let at = self.position(key)?;
        self.changed = true;
        Some(self.members.remove(at).value)
    }

    /// Returns the members in order: decoded key, raw value.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &Bytes)> {
        self.members
            .iter()
            .map(|member| (member.key(&self.source), &member.value))
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns true if there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the object as JSON: the text that it was parsed from, if nothing was changed.
    pub fn to_bytes(&self) -> Bytes {
        if !self.changed && !self.source.is_empty() {
            return self.source.clone();
        }
        let room = self
            .members
            .iter()
            .map(|m| m.raw_key(&self.source).len() + m.value.len() + 4)
            .sum::<usize>();
        let mut out = BytesMut::with_capacity(room + 2);
        out.put_u8(b'{');
        for (index, member) in self.members.iter().enumerate() {
            out.put_slice(if index > 0 { b",\"" } else { b"\"" });
            out.put_slice(member.raw_key(&self.source));
            out.put_slice(b"\":");
            out.put_slice(&member.value);
        }
        out.put_u8(b'}');
        out.freeze()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.members
            .iter()
            .position(|member| member.key_bytes(&self.source) == key.as_bytes())
    }
}

/// Why a text is not an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Not UTF-8, or not JSON.
    #[error("the text is not JSON")]
    NotJson,
    /// JSON of another kind.
    #[error("the JSON text is not an object")]
    NotAnObject,
    /// Nested beyond 1024 levels.
    #[error("the object is nested too deep")]
    TooDeep,
    /// It has more than 65 536 members.
    #[error("the object has too many members")]
    TooMany,
    /// A key occurs twice, so parsers may disagree on its value.
    #[error("member {0:?} occurs twice")]
    Duplicate(Box<str>),
}

impl From<Fault> for ObjectError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Syntax => Self::NotJson,
            Fault::TooDeep => Self::TooDeep,
        }
    }
}

impl Member {
    fn new(key: &str, value: Bytes) -> Self {
        let quoted = quote(key);
        let key = Key::Set {
            raw: quoted.slice(1..quoted.len() - 1),
            decoded: key.into(),
        };
        Self { key, value }
    }

    /// The text is at most 4 GiB long.
    fn read(raw: &Bytes, scanner: &mut Scanner<'_>, values: Values) -> Result<Self, Fault> {
        let key = scanner.key()?;
        let value = match values {
            Values::Checked => scanner.value()?,
            Values::Skipped => scanner.skip()?,
        };
        Ok(Self {
            key: Key::Read {
                start: key.range.start as u32,
                end: key.range.end as u32,
                decoded: key.escaped.then(|| unescape(&raw[key.range]).into()),
            },
            value: raw.slice(value.range),
        })
    }

    /// As written, without its quotes.
    fn raw_key<'a>(&'a self, source: &'a [u8]) -> &'a [u8] {
        match &self.key {
            Key::Read { start, end, .. } => source.get(*start as usize..*end as usize).unwrap_or_default(),
            Key::Set { raw, .. } => raw,
        }
    }

    fn key_bytes<'a>(&'a self, source: &'a [u8]) -> &'a [u8] {
        match &self.key {
            Key::Read {
                decoded: Some(decoded), ..
            }
            | Key::Set { decoded, .. } => decoded.as_bytes(),
            Key::Read { decoded: None, .. } => self.raw_key(source),
        }
    }

    fn key<'a>(&'a self, source: &'a [u8]) -> Cow<'a, str> {
        String::from_utf8_lossy(self.key_bytes(source))
    }
}

/// Returns the first key that occurs a second time.
fn duplicate<'a>(source: &'a [u8], members: &'a [Member]) -> Option<Cow<'a, str>> {
    let again = if members.len() <= FEW {
        members.iter().enumerate().find(|(index, member)| {
            members[..*index]
                .iter()
                .any(|earlier| earlier.key_bytes(source) == member.key_bytes(source))
        })
    } else {
        let mut seen = HashSet::with_capacity(members.len());
        members
            .iter()
            .enumerate()
            .find(|(_, member)| !seen.insert(member.key_bytes(source)))
    };
    again.map(|(_, member)| member.key(source))
}
