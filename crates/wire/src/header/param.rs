//! `Mcp-Param-…`: tool arguments repeated in headers (SEP-2243).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::{HeaderError, ParamHeader, encode, single_decoded};
use crate::object::{self, RawObject};

/// Checks the headers of a `tools/call` against its raw arguments.
///
/// A header has to be missing if its argument is missing or null, and only then. Headers that the tool does not declare
/// are ignored.
///
/// # Errors
///
/// [`HeaderError`] if a header is missing, malformed, or differs from its argument.
pub fn check_params(
    headers: &HeaderMap,
    declared: &[ParamHeader],
    arguments: Option<&Bytes>,
) -> Result<(), HeaderError> {
    for param in declared {
        let header = single_decoded(headers, &param.name)?;
        match (header, find(arguments, &param.path)) {
            (None, None) => {}
            (None, Some(_)) => return Err(HeaderError::Missing(param.name.clone())),
            (Some(header), Some(raw)) if says(&header, &raw) => {}
            (Some(_), _) => return Err(HeaderError::Mismatch(param.name.clone())),
        }
    }
    Ok(())
}

/// Writes the headers that a tool declares, from the raw arguments of a call.
///
/// Arguments that are not a string, number or boolean get none: the server refuses such a call for its body.
pub fn write_params(headers: &mut HeaderMap, declared: &[ParamHeader], arguments: Option<&Bytes>) {
    for param in declared {
        if let Some(value) = find(arguments, &param.path).and_then(|raw| to_header(&raw)) {
            headers.insert(param.name.clone(), value);
        }
    }
}

/// Returns the raw value at a path; `None` if it is missing or null.
fn find(arguments: Option<&Bytes>, path: &[Box<str>]) -> Option<Bytes> {
    let mut at = arguments?.clone();
    for key in path {
        at = RawObject::parse(&at).ok()?.get(key)?.clone();
    }
    (&at[..] != b"null").then_some(at)
}

fn to_header(raw: &Bytes) -> Option<HeaderValue> {
    match raw.first()? {
        b'"' => object::text(raw).map(|text| encode(&text)),
        b't' | b'f' | b'-' | b'0'..=b'9' => {
            // 42.0 and 42 are one value; the shorter spelling suits more readers.
            let text = std::str::from_utf8(raw).ok()?;
            let plain = Decimal::parse(text).and_then(|number| number.to_integer_text());
            Some(encode(plain.as_deref().unwrap_or(text)))
        }
        _ => None,
    }
}

/// Returns true if a decoded header equals the raw argument.
fn says(header: &str, raw: &Bytes) -> bool {
    match raw.first() {
        Some(b'"') => object::text(raw).is_some_and(|text| text == header),
        Some(b't' | b'f') => raw == header.as_bytes(),
        Some(b'-' | b'0'..=b'9') => {
            let body = std::str::from_utf8(raw).ok().and_then(Decimal::parse);
            body.is_some() && body == Decimal::parse(header)
        }
        _ => false,
    }
}

/// A decimal number of any length, in the one form that equal numbers share.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    /// The power of ten the last digit stands for.
    exponent: i64,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            None => (text, 0),
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?.into()),
        };
        let (negative, unsigned) = match mantissa.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, mantissa),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !numeric(whole) || !numeric(fraction) {
            return None;
        }
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self {
                negative: false,
                digits: String::new(),
                exponent: 0,
            });
        }
        let trailing = all.len() - all.trim_end_matches('0').len();
        Some(Self {
            negative,
            digits: digits.into(),
            exponent: exponent - i64::try_from(fraction.len()).ok()? + i64::try_from(trailing).ok()?,
        })
    }

    /// The integer as digits alone, if it is one and not too long.
    fn to_integer_text(&self) -> Option<String> {
        if self.digits.is_empty() {
            return Some("0".into());
        }
        let zeros = usize::try_from(self.exponent).ok().filter(|zeros| *zeros <= 32)?;
        let sign = if self.negative { "-" } else { "" };
        Some(format!("{sign}{}{}", self.digits, "0".repeat(zeros)))
    }
}
