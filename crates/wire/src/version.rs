//! Protocol versions and their eras.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// The two protocol eras of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Era {
    /// 2025-11-25 and older: a handshake, then a session.
    Legacy,
    /// 2026-07-28 and newer: every request is independent.
    Modern,
}

/// A version of MCP that this crate knows, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// 2025-03-26: Streamable HTTP, batches.
    V2025_03_26,
    /// 2025-06-18: no batches, the version header, structured output.
    V2025_06_18,
    /// 2025-11-25: URL elicitation, tools in sampling.
    V2025_11_25,
    /// 2026-07-28: stateless.
    V2026_07_28,
}

impl ProtocolVersion {
    /// All of them, newest first.
    pub const ALL: [Self; 4] = [
        Self::V2026_07_28,
        Self::V2025_11_25,
        Self::V2025_06_18,
        Self::V2025_03_26,
    ];

    /// The newest version with a handshake.
    pub const NEWEST_LEGACY: Self = Self::V2025_11_25;

    /// The newest version.
    pub const NEWEST: Self = Self::V2026_07_28;

    /// The version of a legacy request without a version header.
    pub const WITHOUT_HEADER: Self = Self::V2025_03_26;

    /// Returns the date, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// Parses a date. Returns `None` if this crate does not know the version.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Returns the era of this version.
    pub fn era(self) -> Era {
        if self >= Self::V2026_07_28 {
            Era::Modern
        } else {
            Era::Legacy
        }
    }

    /// Returns these versions as a raw JSON array.
    pub fn list(versions: &[Self]) -> Bytes {
        let mut out = BytesMut::with_capacity(versions.len() * 13 + 2);
        out.put_u8(b'[');
        for (index, version) in versions.iter().enumerate() {
            out.put_slice(if index > 0 { b",\"" } else { b"\"" });
            out.put_slice(version.as_str().as_bytes());
            out.put_u8(b'"');
        }
        out.put_u8(b']');
        out.freeze()
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A version as the other side names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NamedVersion {
    /// A version that this crate knows.
    Known(ProtocolVersion),
    /// Any other text.
    Other(Box<str>),
}

impl NamedVersion {
    /// Returns the version with this name, which may be any text.
    pub fn new(text: &str) -> Self {
        ProtocolVersion::parse(text).map_or_else(|| Self::Other(text.into()), Self::Known)
    }

    /// Returns the text, unchanged.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(version) => version.as_str(),
            Self::Other(text) => text,
        }
    }

    /// Returns the version, if it is a known one.
    pub fn known(&self) -> Option<ProtocolVersion> {
        match self {
            Self::Known(version) => Some(*version),
            Self::Other(_) => None,
        }
    }

    /// Returns true for a date from 2026-07-28 on, known or not.
    pub fn is_modern(&self) -> bool {
        match self {
            Self::Known(version) => version.era() == Era::Modern,
            Self::Other(text) => is_date(text) && &**text > ProtocolVersion::V2026_07_28.as_str(),
        }
    }
}

impl fmt::Display for NamedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}
