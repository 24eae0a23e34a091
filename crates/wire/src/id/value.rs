//! The value of an id, whatever its text.

use std::borrow::Cow;

use crate::object;

/// The value of an id.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum IdValue<'a> {
    /// The text of a string, without escapes.
    Text(Cow<'a, [u8]>),
    /// A number: digits without zeros around them, and the power of ten that the last one has.
    Number {
        is_negative: bool,
        digits: Cow<'a, [u8]>,
        exponent: i64,
    },
}

impl<'a> IdValue<'a> {
    /// Returns the value of the raw JSON of an id.
    pub(super) fn of(raw: &'a [u8]) -> Self {
        match raw {
            [b'"', text @ .., b'"'] if memchr::memchr(b'\\', text).is_none() => Self::Text(Cow::Borrowed(text)),
            [b'"', text @ .., b'"'] => Self::Text(Cow::Owned(object::unescape(text).into_bytes())),
            number => Self::number(number),
        }
    }

    fn number(raw: &'a [u8]) -> Self {
        let (is_negative, raw) = match raw {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, raw),
        };
        let at = raw.iter().position(|byte| matches!(byte, b'e' | b'E'));
        let (mantissa, power) = at.map_or((raw, &[][..]), |at| (&raw[..at], &raw[at + 1..]));
        let (digits, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
            None => (Cow::Borrowed(mantissa), 0),
            Some(dot) => {
                let fraction = &mantissa[dot + 1..];
                (Cow::Owned([&mantissa[..dot], fraction].concat()), fraction.len())
            }
        };
        let first = digits.iter().position(|digit| *digit != b'0');
        let Some(first) = first else {
            return Self::Number {
                is_negative: false,
                digits: Cow::Borrowed(&[]),
                exponent: 0,
            };
        };
        let end = digits
            .iter()
            .rposition(|digit| *digit != b'0')
            .map_or(0, |last| last + 1);
        let zeros = digits.len() - end;
        let shift = i64::try_from(zeros).unwrap_or_default() - i64::try_from(fraction).unwrap_or_default();
        let digits = match digits {
            Cow::Borrowed(digits) => Cow::Borrowed(&digits[first..end]),
            Cow::Owned(digits) => Cow::Owned(digits[first..end].to_vec()),
        };
        Self::Number {
            is_negative,
            digits,
            exponent: power_of(power).saturating_add(shift),
        }
    }
}

/// Reads the exponent of a number. One that is too large to be read is as large as can be.
fn power_of(text: &[u8]) -> i64 {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let power = digits.iter().fold(0_i64, |power, digit| {
        power.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    if is_negative { -power } else { power }
}
