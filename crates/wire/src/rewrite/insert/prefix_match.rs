//! Compares the beginning of a JSON string, which may contain escapes, with a known one, byte by byte.

/// The result of comparing the beginning of a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PrefixMatch {
    /// Not known yet.
    Undecided,
    /// It begins with the known one.
    Equal,
    /// It begins otherwise.
    Different,
}

/// The content of a string so far, without its quote.
#[derive(Debug)]
pub(super) struct PrefixMatcher {
    known: &'static str,
    /// The content as it is written: at most six bytes for each of the known one.
    raw: Vec<u8>,
    /// How many characters are equal.
    equal: usize,
    character: Character,
}

/// The state within one character.
#[derive(Debug)]
enum Character {
    /// At its beginning.
    Plain,
    /// After a backslash.
    Escaped,
    /// After `\u`: the value of the digits so far, and their number.
    Number(u32, u8),
}

impl PrefixMatcher {
    /// Returns a matcher that compares with `known`, which is ASCII.
    pub(super) fn new(known: &'static str) -> Self {
        Self {
            known,
            raw: Vec::new(),
            equal: 0,
            character: Character::Plain,
        }
    }

    /// Starts at the beginning of another string.
    pub(super) fn reset(&mut self) {
        self.raw.clear();
        self.equal = 0;
        self.character = Character::Plain;
    }

    /// Returns the content so far, as it is written.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Compares the next byte, unless the result is known without it. Returns the result, and whether the byte was taken.
    pub(super) fn push(&mut self, byte: u8) -> (PrefixMatch, bool) {
        if self.known.is_empty() || (matches!(self.character, Character::Plain) && byte == b'"') {
            return (PrefixMatch::Different, false);
        }
        self.raw.push(byte);
        let character = match (&self.character, byte) {
            (Character::Plain, b'\\') => {
                self.character = Character::Escaped;
                return (PrefixMatch::Undecided, true);
            }
            (Character::Plain, _) => u32::from(byte),
            (Character::Escaped, b'u') => {
                self.character = Character::Number(0, 0);
                return (PrefixMatch::Undecided, true);
            }
            // Control characters are in no known beginning.
            (Character::Escaped, b'/' | b'\\' | b'"') => u32::from(byte),
            (Character::Escaped, _) => 0,
            (Character::Number(so_far, digits), _) => {
                let number = so_far * 16 + char::from(byte).to_digit(16).unwrap_or_default();
                if *digits < 3 {
                    self.character = Character::Number(number, digits + 1);
                    return (PrefixMatch::Undecided, true);
                }
                number
            }
        };
        self.character = Character::Plain;
        let wanted = self.known.as_bytes().get(self.equal).map(|byte| u32::from(*byte));
        self.equal += 1;
        let matched = match wanted {
            Some(wanted) if wanted != character => PrefixMatch::Different,
            _ if self.equal < self.known.len() => PrefixMatch::Undecided,
            _ => PrefixMatch::Equal,
        };
        (matched, true)
    }
}
