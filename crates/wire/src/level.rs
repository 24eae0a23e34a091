//! Levels of log messages.

use std::fmt;

use bytes::Bytes;

use crate::object::{self, RawObject};

/// The severity of a log message, in the order of RFC 5424: [`Debug`](Self::Debug) is the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LogLevel {
    /// `debug`
    Debug = 1,
    /// `info`
    Info,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
    /// `error`
    Error,
    /// `critical`
    Critical,
    /// `alert`
    Alert,
    /// `emergency`
    Emergency,
}

impl LogLevel {
    /// All of them, the lowest first.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    /// Returns the name, as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
    }

    /// Parses a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.as_str() == name)
    }

    /// Parses a raw JSON string.
    pub fn from_raw(raw: &Bytes) -> Option<Self> {
        Self::parse(&object::text(raw)?)
    }

    /// Returns the level of a `notifications/message`, from its raw params.
    pub fn of_message(params: &Bytes) -> Option<Self> {
        Self::from_raw(RawObject::parse(params).ok()?.get("level")?)
    }

    /// Returns a number from 1 to 8, in the same order.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the level with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number.checked_sub(1)?)).copied()
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_round_trip_in_order() {
        for pair in LogLevel::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
            assert_eq!(LogLevel::from_number(level.number()), Some(level));
        }
        for number in [0, 9, 255] {
            assert_eq!(LogLevel::from_number(number), None);
        }
    }

    #[test]
    fn unknown_levels_are_none() {
        for raw in [&b"\"loud\""[..], b"\"INFO\"", b"3", b"null", b""] {
            assert_eq!(LogLevel::from_raw(&Bytes::from_static(raw)), None);
        }
        let message = Bytes::from_static(br#"{"level":"notice","data":1}"#);
        assert_eq!(LogLevel::of_message(&message), Some(LogLevel::Notice));
        assert_eq!(LogLevel::of_message(&Bytes::from_static(b"[]")), None);
    }
}
