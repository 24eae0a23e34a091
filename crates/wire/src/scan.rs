//! A JSON scanner: checks the grammar and finds where values begin and end.
//!
//! It expects text that is known to be UTF-8. It is iterative, so depth needs no stack.

use std::ops::Range;

/// The deepest nesting, whatever the caller's limit.
pub(crate) const MAX_DEPTH: u32 = 1024;

#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    max_depth: u32,
}

/// The kind of a value, by its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JsonKind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

#[derive(Debug, Clone)]
pub(crate) struct Value {
    pub(crate) kind: JsonKind,
    pub(crate) range: Range<usize>,
}

/// A key: the range of its text between the quotes, and whether that has escapes.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) range: Range<usize>,
    pub(crate) escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax,
    TooDeep,
}

impl<'a> Scanner<'a> {
    /// `max_depth` counts containers: with 1, `{}` is fine and `{"a":[]}` is not.
    pub(crate) fn new(text: &'a [u8], max_depth: u32) -> Self {
        Self {
            text,
            at: 0,
            max_depth: max_depth.min(MAX_DEPTH),
        }
    }

    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.skip_space();
        self.text.get(self.at).copied()
    }

    /// Skips `byte` if it is next, after white space.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        if self.take(byte) { Ok(()) } else { Err(Fault::Syntax) }
    }

    /// Checks that only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Fault::Syntax),
        }
    }

    /// Reads `"key" :`.
    pub(crate) fn key(&mut self) -> Result<Key, Fault> {
        if self.peek() != Some(b'"') {
            return Err(Fault::Syntax);
        }
        let start = self.at + 1;
        let escaped = self.string()?;
        let range = start..self.at - 1;
        self.expect(b':')?;
        Ok(Key { range, escaped })
    }

    /// Enters a container that the caller walks through itself; it counts as one level until [`leave`].
    ///
    /// [`leave`]: Self::leave
    pub(crate) fn enter(&mut self, open: u8) -> Result<(), Fault> {
        self.expect(open)?;
        self.max_depth = self.max_depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        Ok(())
    }

    /// Leaves a container that the caller has walked through.
    pub(crate) fn leave(&mut self) {
        self.max_depth += 1;
    }

    /// Reads one whole value.
    pub(crate) fn value(&mut self) -> Result<Value, Fault> {
        let first = self.peek().ok_or(Fault::Syntax)?;
        let start = self.at;
        let kind = match first {
            b'{' | b'[' => self.container()?,
            _ => self.scalar(first)?,
        };
        Ok(Value {
            kind,
            range: start..self.at,
        })
    }

    /// Skips one whole value of a text that is known to be JSON.
    pub(crate) fn skip(&mut self) -> Result<Value, Fault> {
        let first = self.peek().ok_or(Fault::Syntax)?;
        if !matches!(first, b'{' | b'[') {
            return self.value();
        }
        let start = self.at;
        let mut depth = 0_usize;
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                let kind = if first == b'{' {
                    JsonKind::Object
                } else {
                    JsonKind::Array
                };
                return Ok(Value {
                    kind,
                    range: start..self.at,
                });
            }
        }
        Err(Fault::Syntax)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn container(&mut self) -> Result<JsonKind, Fault> {
        let mut open = Nesting::default();
        let kind = if self.text[self.at] == b'{' {
            JsonKind::Object
        } else {
            JsonKind::Array
        };
        loop {
            // Here a value begins.
            let first = self.peek().ok_or(Fault::Syntax)?;
            if matches!(first, b'{' | b'[') {
                self.at += 1;
                if open.depth >= self.max_depth {
                    return Err(Fault::TooDeep);
                }
                open.push(first == b'{');
                let close = if first == b'{' { b'}' } else { b']' };
                if !self.take(close) {
                    if first == b'{' {
                        self.key()?;
                    }
                    continue;
                }
                open.pop();
            } else {
                self.scalar(first)?;
            }
            // Here a value has ended.
            loop {
                if open.depth == 0 {
                    return Ok(kind);
                }
                let in_object = open.in_object();
                match self.peek().ok_or(Fault::Syntax)? {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return Err(Fault::Syntax),
                }
                self.at += 1;
                open.pop();
            }
        }
    }

    fn scalar(&mut self, first: u8) -> Result<JsonKind, Fault> {
        match first {
            b'"' => self.string().map(|_| JsonKind::String),
            b'-' | b'0'..=b'9' => self.number().map(|()| JsonKind::Number),
            b't' => self.literal(b"true", JsonKind::Bool),
            b'f' => self.literal(b"false", JsonKind::Bool),
            b'n' => self.literal(b"null", JsonKind::Null),
            _ => Err(Fault::Syntax),
        }
    }

    fn literal(&mut self, word: &[u8], kind: JsonKind) -> Result<JsonKind, Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        Ok(kind)
    }

    fn number(&mut self) -> Result<(), Fault> {
        self.at += usize::from(self.text[self.at] == b'-');
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(Fault::Syntax) } else { Ok(()) }
    }

    /// Skips a string, from its opening quote. Returns whether it has escapes.
    fn string(&mut self) -> Result<bool, Fault> {
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain_prefix(&self.text[self.at..]);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Fault::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.text.get(self.at + 2..self.at + 6).ok_or(Fault::Syntax)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Fault::Syntax);
                }
                self.at += 6;
            }
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }
}

/// Returns the number of bytes before the first quote, backslash or control character.
fn plain_prefix(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let tail = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
    text.len() - rest.len() + tail.unwrap_or(rest.len())
}

/// Returns the high bit of each byte that ends a plain stretch; only the lowest one is sure.
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | quotes(word)
}

/// Returns the high bit of each quote and backslash; only the lowest one is sure.
pub(crate) fn quotes(word: u64) -> u64 {
    let quote = word ^ (ONES * u64::from(b'"'));
    let slash = word ^ (ONES * u64::from(b'\\'));
    ((quote.wrapping_sub(ONES) & !quote) | (slash.wrapping_sub(ONES) & !slash)) & HIGH
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The kind of the open container at each depth, one bit each.
#[derive(Default)]
struct Nesting {
    depth: u32,
    bits: [u64; (MAX_DEPTH / 64) as usize],
}

impl Nesting {
    /// The caller has checked the depth against [`MAX_DEPTH`].
    fn push(&mut self, object: bool) {
        let (word, bit) = (self.depth as usize / 64, self.depth % 64);
        self.bits[word] = self.bits[word] & !(1 << bit) | u64::from(object) << bit;
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn in_object(&self) -> bool {
        let top = self.depth.saturating_sub(1);
        self.bits[top as usize / 64] >> (top % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text.as_bytes(), MAX_DEPTH);
        scanner.value().and_then(|_| scanner.end()).is_ok()
    }

    fn serde_takes(text: &str) -> bool {
        serde_json::from_str::<Box<serde_json::value::RawValue>>(text).is_ok()
    }

    #[test]
    fn depth_counts_containers() {
        let scan = |text: &str, depth| Scanner::new(text.as_bytes(), depth).value().map(|_| ());
        assert_eq!(scan("[[]]", 2), Ok(()));
        assert_eq!(scan("[[]]", 1), Err(Fault::TooDeep));
        assert_eq!(scan(&"[".repeat(5000), u32::MAX), Err(Fault::TooDeep));
    }

    #[test]
    fn edge_cases_match_serde() {
        for text in [
            "",
            " ",
            "[",
            "]",
            "{}",
            "[]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[,1]",
            "01",
            "-",
            "-0",
            "1.",
            ".1",
            "1e",
            "1e+",
            "1e+1",
            "tru",
            "truex",
            "nul",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\u{7f}\"",
            "\"a\tb\"",
            "[1}",
            "{\"a\":1]",
            "1 2",
            "[[[]]",
            "\"12345678\\\"\"",
            "{1:2}",
            "{\"a\" : 1 }",
        ] {
            assert_eq!(is_json(text), serde_takes(text), "{text:?}");
        }
    }

    #[test]
    fn control_characters_are_found() {
        for control in 0..0x20u8 {
            for before in 0..20 {
                let text = format!("\"{}{}{}\"", "é".repeat(before), control as char, "x".repeat(9));
                assert!(!is_json(&text), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn accepts_what_serde_accepts(text in r#"[\[\]{}:, "\\ua0e1.\-tn\n]{0,24}"#) {
            prop_assert_eq!(is_json(&text), serde_takes(&text));
        }

        #[test]
        fn long_strings_are_delimited(text in "\\PC{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert!(is_json(&json));
            prop_assert!(!is_json(&json[..json.len() - 1]));
        }
    }
}
