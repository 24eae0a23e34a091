//! Placeholders of the clients.

use crate::{Input, InputSource};

/// The most bytes between the marks of a placeholder. Without a bound, a file of opening marks would take minutes.
const MAX_PLACEHOLDER: usize = 1_024;

/// What a placeholder stands for.
pub(crate) enum Found {
    /// Text that the client puts in its place.
    Literal(String),
    /// An input.
    Input(Box<FoundInput>),
    /// An input that the file does not declare.
    Undeclared(String),
}

/// An input as a placeholder names it.
pub(crate) struct FoundInput {
    pub(crate) input: Input,
    /// Whether it is secret, if the source states that.
    pub(crate) secret: Option<bool>,
}

impl Found {
    pub(crate) fn input(input: Input, secret: Option<bool>) -> Self {
        Self::Input(Box::new(FoundInput { input, secret }))
    }

    /// An input from the environment, perhaps with a default.
    pub(crate) fn environment(name: &str, default: Option<&str>) -> Self {
        let mut input = Input::new(name, InputSource::Environment);
        input.required = default.is_none();
        input.default = default.map(Into::into);
        Self::input(input, None)
    }

    /// An input that the client knows.
    pub(crate) fn client(name: &str) -> Self {
        Self::input(Input::new(name, InputSource::Client), None)
    }
}

/// Reads the placeholder at the beginning of a text: its length in bytes, and what it stands for. `None` if there is none.
pub(crate) type Scan<'a> = dyn Fn(&str) -> Option<(usize, Found)> + 'a;

/// A part of a text: as it is, or a placeholder.
pub(crate) enum Piece<'a> {
    Plain(&'a str),
    Found(Found),
}

/// Splits a text at its placeholders, one by one: what they stand for may be long.
pub(crate) fn split<'a, 's>(text: &'a str, scan: &'s Scan<'s>) -> impl Iterator<Item = Piece<'a>> + use<'a, 's> {
    let (mut start, mut at, mut next) = (0, 0, None);
    std::iter::from_fn(move || {
        if let Some(found) = next.take() {
            return Some(Piece::Found(found));
        }
        while let Some(ahead) = text[at..].find(['$', '{']) {
            at += ahead;
            let Some((length, found)) = scan(&text[at..]).filter(|(length, _)| *length > 0) else {
                at += 1;
                continue;
            };
            let plain = &text[start..at];
            at += length;
            start = at;
            if plain.is_empty() {
                return Some(Piece::Found(found));
            }
            next = Some(found);
            return Some(Piece::Plain(plain));
        }
        let rest = &text[start..];
        (start, at) = (text.len(), text.len());
        (!rest.is_empty()).then_some(Piece::Plain(rest))
    })
}

/// No placeholders at all.
pub(crate) fn none(_: &str) -> Option<(usize, Found)> {
    None
}

/// `${V}` and `${V:-default}`; with `bare`, `$V` too.
pub(crate) fn shell(bare: bool) -> impl Fn(&str) -> Option<(usize, Found)> {
    move |text| {
        if let Some((inner, length)) = enclosed(text, "${", "}") {
            let (name, default) = match inner.split_once(":-") {
                Some((name, default)) => (name, Some(default)),
                None => (inner, None),
            };
            return is_name(name).then(|| (length, Found::environment(name, default)));
        }
        let name = bare.then(|| bare_name(text)).flatten()?;
        Some((name.len() + 1, Found::environment(name, None)))
    }
}

/// `${V}` without defaults.
pub(crate) fn braced(text: &str) -> Option<(usize, Found)> {
    let (name, length) = enclosed(text, "${", "}")?;
    is_name(name).then(|| (length, Found::environment(name, None)))
}

/// `${env:V}`, and `${NAME}` for the names that the client knows. `${/}` and `${pathSeparator}` are a slash.
pub(crate) fn editor(client: &[&str]) -> impl Fn(&str) -> Option<(usize, Found)> {
    move |text| {
        let (inner, length) = enclosed(text, "${", "}")?;
        if let Some(name) = inner.strip_prefix("env:") {
            return (!name.is_empty()).then(|| (length, Found::environment(name, None)));
        }
        let known = client.contains(&inner.split(':').next().unwrap_or(inner));
        match inner {
            "/" | "pathSeparator" if known => Some((length, Found::Literal("/".into()))),
            _ if known => Some((length, Found::client(inner))),
            _ => None,
        }
    }
}

/// Returns what stands between `open` at the beginning of `text` and the next `close`, and the length of it all.
pub(crate) fn enclosed<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, usize)> {
    let rest = text.strip_prefix(open)?;
    let end = rest[..rest.floor_char_boundary(MAX_PLACEHOLDER)].find(close)?;
    Some((&rest[..end], open.len() + end + close.len()))
}

/// Returns the name in `$NAME` at the beginning of `text`.
pub(crate) fn bare_name(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let end = rest
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    Some(&rest[..end]).filter(|name| is_name(name))
}

/// Returns whether a text may be the name of a variable.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns whether a text looks like a placeholder of some client.
pub(crate) fn looks_like_one(text: &str) -> bool {
    text.char_indices().any(|(at, c)| match c {
        '$' => {
            enclosed(&text[at..], "${", "}").is_some()
                || bare_name(&text[at..])
                    .is_some_and(|name| name.len() > 1 && name.chars().all(|c| !c.is_ascii_lowercase()))
        }
        '{' => {
            enclosed(&text[at..], "{{", "}}").is_some()
                || enclosed(&text[at..], "{env:", "}").is_some()
                || enclosed(&text[at..], "{file:", "}").is_some()
        }
        _ => false,
    })
}
