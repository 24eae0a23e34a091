//! Compares a value with a shape, and mends it.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use portolan_wire::object::{self, ObjectError, RawObject};
use serde_json::value::RawValue;

use super::{Member, Shape, json_schema};

/// How a value fits.
#[derive(Debug)]
pub(super) enum Fit {
    /// It fits.
    AsIs,
    /// This text, which means the same, fits.
    Mended(Bytes),
}

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The members on the way to it.
    path: Vec<Cow<'static, str>>,
    problem: &'static str,
}

pub(super) type Fitting = Result<Fit, Misfit>;

impl Misfit {
    pub(super) fn new(problem: &'static str) -> Self {
        Self {
            path: Vec::new(),
            problem,
        }
    }

    pub(super) fn at(mut self, member: impl Into<Cow<'static, str>>) -> Self {
        self.path.insert(0, member.into());
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(self.problem),
            false => write!(f, "{} {}", self.path.join("."), self.problem),
        }
    }
}

/// Returns how a value fits a shape.
pub(super) fn fit(raw: &Bytes, shape: &Shape) -> Fitting {
    let wants = |fits: bool, problem| if fits { Ok(Fit::AsIs) } else { Err(Misfit::new(problem)) };
    match shape {
        Shape::Text => wants(is_text(raw), "is not a text"),
        Shape::Texts if is_text(raw) => Ok(Fit::Mended([b"[", &raw[..], b"]"].concat().into())),
        Shape::Texts => list(raw, &Shape::Text),
        Shape::Flag => wants(raw == "true" || raw == "false", "is neither true nor false"),
        Shape::Whole => wants(
            number(raw).is_some_and(|number| number.fract() == 0.0),
            "is not a whole number",
        ),
        Shape::Share => {
            let is_share = number(raw).is_some_and(|number| (0.0..=1.0).contains(&number));
            wants(is_share, "is not a number from 0 to 1")
        }
        Shape::Moment => wants(is_text(raw), "is not a text"),
        Shape::Uri => wants(is_uri(raw), "is not a URI"),
        Shape::OneOf(texts) => {
            let is_one = object::text(raw).is_some_and(|text| texts.contains(&&*text));
            wants(is_one, "is none of the texts that the protocol defines")
        }
        Shape::Record => wants(raw.starts_with(b"{"), "is not an object"),
        Shape::Object(members) => object(raw, members),
        Shape::List(shape) => list(raw, shape),
        Shape::Input => json_schema::input(raw),
        Shape::Output => json_schema::output(raw),
    }
}

pub(super) fn is_text(raw: &Bytes) -> bool {
    raw.starts_with(b"\"")
}

/// Parses an object. `None` stands for one that clients read and this crate does not, such as one with a key twice.
pub(super) fn members_of(raw: &Bytes) -> Result<Option<RawObject>, Misfit> {
    match RawObject::parse_checked(raw) {
        Ok(members) => Ok(Some(members)),
        Err(ObjectError::NotAnObject) => Err(Misfit::new("is not an object")),
        Err(_) => Ok(None),
    }
}

fn object(raw: &Bytes, shape: &[Member]) -> Fitting {
    let Some(mut members) = members_of(raw)? else {
        return Err(Misfit::new("has a member twice"));
    };
    let mut mended = false;
    for member in shape {
        let Some(value) = members.get(member.name).cloned() else {
            if member.is_required {
                return Err(Misfit::new("is missing").at(member.name));
            }
            continue;
        };
        if !member.is_required && says_nothing(&value, &member.shape) {
            members.remove(member.name);
            mended = true;
            continue;
        }
        if let Fit::Mended(value) = fit(&value, &member.shape).map_err(|misfit| misfit.at(member.name))? {
            members.set(member.name, value);
            mended = true;
        }
    }
    Ok(if mended {
        Fit::Mended(members.to_bytes())
    } else {
        Fit::AsIs
    })
}

/// Returns `true` for the value of an optional member that means the same as its absence.
fn says_nothing(value: &Bytes, shape: &Shape) -> bool {
    match shape {
        _ if value == "null" => true,
        Shape::Moment => object::text(value).is_some_and(|text| !is_moment(&text)),
        Shape::Output => value == "true" || value.starts_with(b"{") && !json_schema::can_be_used(value),
        _ => false,
    }
}

fn list(raw: &Bytes, shape: &Shape) -> Fitting {
    let items = items_of(raw).ok_or_else(|| Misfit::new("is not a list"))?;
    let (mut all, mut mended) = (Vec::with_capacity(items.len()), false);
    for (at, item) in items.into_iter().enumerate() {
        match fit(&item, shape).map_err(|misfit| misfit.at(at.to_string()))? {
            Fit::AsIs => all.push(item),
            Fit::Mended(text) => {
                all.push(text);
                mended = true;
            }
        }
    }
    Ok(match mended {
        false => Fit::AsIs,
        true => {
            let mut text = b"[".to_vec();
            for (at, item) in all.iter().enumerate() {
                text.extend_from_slice(if at > 0 { b"," } else { b"" });
                text.extend_from_slice(item);
            }
            text.push(b']');
            Fit::Mended(text.into())
        }
    })
}

/// Returns the items of a JSON array.
pub(super) fn items_of(raw: &Bytes) -> Option<Vec<Bytes>> {
    let items: Vec<&RawValue> = serde_json::from_slice(raw).ok()?;
    Some(items.iter().map(|item| raw.slice_ref(item.get().as_bytes())).collect())
}

fn number(raw: &Bytes) -> Option<f64> {
    let first = raw.first()?;
    (first.is_ascii_digit() || *first == b'-').then_some(())?;
    std::str::from_utf8(raw).ok()?.parse().ok()
}

/// Pydantic, of the Python SDK 1.x, and this crate use the same parser.
fn is_uri(raw: &Bytes) -> bool {
    object::text(raw).is_some_and(|text| url::Url::parse(&text).is_ok())
}

/// Returns `true` for a time as RFC 3339 has it, with seconds and an offset.
fn is_moment(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        part.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| part.parse::<u32>().ok())?
    };
    let parts = || {
        let (year, month, day) = (digits(0..4)?, digits(5..7)?, digits(8..10)?);
        let (hour, minute, second) = (digits(11..13)?, digits(14..16)?, digits(17..19)?);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            _ => 31,
        };
        let is_date = (1..=12).contains(&month) && (1..=days).contains(&day);
        Some(is_date && hour < 24 && minute < 60 && second < 60)
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let has_marks = marks.iter().all(|(at, mark)| text.as_bytes().get(*at) == Some(mark));
    has_marks && parts() == Some(true) && text.get(19..).is_some_and(is_fraction_and_offset)
}

fn is_fraction_and_offset(text: &str) -> bool {
    let offset = match text.strip_prefix('.') {
        None => text,
        Some(rest) => {
            let offset = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if offset.len() == rest.len() {
                return false;
            }
            offset
        }
    };
    match offset.as_bytes() {
        b"Z" => true,
        [b'+' | b'-', a, b, b':', c, d] => {
            let pair = |a: &u8, b: &u8, most: u8| {
                a.is_ascii_digit() && b.is_ascii_digit() && (a - b'0') * 10 + (b - b'0') < most
            };
            pair(a, b, 24) && pair(c, d, 60)
        }
        _ => false,
    }
}

/// Returns `true` if a JSON text has the escape of half a surrogate pair, which is no Unicode: Python refuses it.
pub(super) fn has_lone_surrogate(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        at += found;
        match surrogate(&text[at..]) {
            None => at += 2,
            Some(true) if surrogate(text.get(at + 6..).unwrap_or_default()) == Some(false) => at += 12,
            Some(_) => return true,
        }
        if at >= text.len() {
            break;
        }
    }
    false
}

/// Returns whether an escape is the first half of a pair; `None` if it is no half.
fn surrogate(escape: &[u8]) -> Option<bool> {
    match escape {
        [b'\\', b'u', b'd' | b'D', second, _, _, ..] => match second.to_ascii_lowercase() {
            b'8' | b'9' | b'a' | b'b' => Some(true),
            b'c'..=b'f' => Some(false),
            _ => None,
        },
        _ => None,
    }
}
