//! The id of a JSON-RPC request, as it was written.

mod value;

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use bytes::Bytes;

use self::value::IdValue;
use crate::scan::{JsonKind, Scanner};

/// The raw JSON text of a JSON-RPC id: a string or a number.
///
/// Two ids are equal if their values are, because a peer that decodes and encodes JSON may write one in another way: `1` and
/// `1.0` are one id, as are `"\u2713"` and `"✓"`; `"1"` is another one. A peer gets back the text that it sent. A clone shares
/// the text.
///
/// ```
/// use portolan_wire::{Bytes, id::RequestId};
///
/// let id = |raw: &'static str| RequestId::parse(&Bytes::from_static(raw.as_bytes())).expect("an id");
/// assert_eq!(id("1"), id("1.0"));
/// assert_ne!(id("1"), id("\"1\""));
/// assert_eq!(id("1.0").to_string(), "1.0");
/// ```
#[derive(Clone)]
pub struct RequestId(Bytes);

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0 || IdValue::of(&self.0) == IdValue::of(&other.0)
    }
}

impl Eq for RequestId {}

impl Hash for RequestId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        IdValue::of(&self.0).hash(state);
    }
}

impl RequestId {
    /// The longest id, in bytes of raw JSON.
    ///
    /// A gateway encodes into its ids where a response goes; with a gateway behind another one, ids carry both.
    pub const MAX_LEN: usize = 1024;

    /// Parses the raw JSON text of an id, without white space around it.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if the text is not a JSON string or number, or too long.
    pub fn parse(raw: &Bytes) -> Result<Self, InvalidId> {
        check(raw)?;
        Ok(Self(raw.clone()))
    }

    /// Returns a number as an id.
    pub fn from_u64(number: u64) -> Self {
        let mut digits = itoa::Buffer::new();
        Self(Bytes::copy_from_slice(digits.format(number).as_bytes()))
    }

    /// Returns the JSON text, with the quotes of a string.
    pub fn as_raw(&self) -> &[u8] {
        &self.0
    }

    /// Returns the JSON text as shared bytes.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Returns the number, if the id is plain decimal digits that fit.
    ///
    /// Only the spelling of [`from_u64`](Self::from_u64) counts: `1.0`, `01` and `"1"` are not 1. It is for a sender's own
    /// ids, of which another spelling is somebody else's.
    pub fn as_u64(&self) -> Option<u64> {
        let text = std::str::from_utf8(&self.0).ok()?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        text.parse().ok()
    }

    /// Returns a copy that does not keep the message in memory that it was sliced from.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Returns the id with a text that the scanner has found to be a string or a number.
    pub(crate) fn from_scanned(raw: Bytes) -> Result<Self, InvalidId> {
        if raw.len() > Self::MAX_LEN {
            return Err(InvalidId::TooLong);
        }
        Ok(Self(raw))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

impl From<u64> for RequestId {
    fn from(number: u64) -> Self {
        Self::from_u64(number)
    }
}

/// Why a text is not a request id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// It is neither a JSON string nor a JSON number.
    #[error("a request id is a string or a number")]
    NotAnId,
    /// It is longer than [`RequestId::MAX_LEN`].
    #[error("the request id is longer than {} bytes", RequestId::MAX_LEN)]
    TooLong,
}

fn check(raw: &[u8]) -> Result<(), InvalidId> {
    if raw.len() > RequestId::MAX_LEN {
        return Err(InvalidId::TooLong);
    }
    if std::str::from_utf8(raw).is_err() {
        return Err(InvalidId::NotAnId);
    }
    let mut scanner = Scanner::new(raw, 1);
    let value = scanner.value().map_err(|_| InvalidId::NotAnId)?;
    match value.kind {
        JsonKind::String | JsonKind::Number if value.range.len() == raw.len() => Ok(()),
        _ => Err(InvalidId::NotAnId),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(raw: &'static str) -> Result<RequestId, InvalidId> {
        RequestId::parse(&Bytes::from_static(raw.as_bytes()))
    }

    #[test]
    fn ids_keep_their_text() {
        for raw in ["1", "-1", "1.50", "1e3", "\"\"", "\"a\\u0041\"", "\"é\""] {
            assert_eq!(parse(raw).unwrap().as_raw(), raw.as_bytes());
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for raw in [
            "", "null", "true", "[1]", "{}", "01", "1 ", " 1", "\"a", "1 2", "\"\n\"",
        ] {
            assert_eq!(parse(raw), Err(InvalidId::NotAnId), "{raw:?}");
        }
    }

    #[test]
    fn a_long_id_is_refused() {
        let raw = Bytes::from("1".repeat(1025));
        assert_eq!(RequestId::parse(&raw), Err(InvalidId::TooLong));
    }

    #[test]
    fn only_canonical_numbers_convert() {
        assert_eq!(RequestId::from_u64(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(parse("1.0").unwrap().as_u64(), None);
        assert_eq!(parse("\"1\"").unwrap().as_u64(), None);
    }

    #[test]
    fn equal_values_are_equal_ids() {
        let hash = |id: &RequestId| {
            std::hash::BuildHasher::hash_one(
                &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default(),
                id,
            )
        };
        let same: [&[&str]; 6] = [
            &["1", "1.0", "1e0", "10e-1", "0.1E+1"],
            &["0", "-0", "0.0", "0e9"],
            &["-120", "-1.2e2", "-120.00"],
            &["9007199254740993", "9007199254740993.0"],
            &["\"\\u2713\"", "\"\u{2713}\""],
            &["\"a/b\"", "\"a\\/b\"", "\"\\u0061/b\""],
        ];
        for (at, spellings) in same.iter().enumerate() {
            for one in *spellings {
                let one = RequestId::parse(&Bytes::copy_from_slice(one.as_bytes())).unwrap();
                for (other_at, others) in same.iter().enumerate() {
                    for other in *others {
                        let other = RequestId::parse(&Bytes::copy_from_slice(other.as_bytes())).unwrap();
                        assert_eq!(one == other, at == other_at, "{one} {other}");
                        assert!(at != other_at || hash(&one) == hash(&other), "{one} {other}");
                    }
                }
            }
        }
        assert_ne!(parse("9007199254740993").unwrap(), parse("9007199254740992").unwrap());
        assert_ne!(parse("1").unwrap(), parse("\"1\"").unwrap());
        assert_ne!(parse("1e400").unwrap(), parse("1e401").unwrap());
    }
}
