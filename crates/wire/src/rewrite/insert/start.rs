//! The beginning of a string, compared with a known one as its bytes come: it may be written in escapes.

/// What is known of a string's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// Nothing yet.
    Open,
    /// It begins like the known one.
    Likewise,
    /// It does not.
    Otherwise,
}

/// What has come of a string, without its quote.
#[derive(Debug)]
pub(super) struct Start {
    known: &'static str,
    /// As it is written. At most six bytes for each of the known one.
    raw: Vec<u8>,
    /// How many characters are the same.
    same: usize,
    unit: Unit,
}

/// One character as it is written.
#[derive(Debug)]
enum Unit {
    /// By itself.
    Plain,
    /// After a backslash.
    Escaped,
    /// By its number: what has come of that, and how many digits.
    Number(u32, u8),
}

impl Start {
    /// Compares with `known`, which is ASCII.
    pub(super) fn new(known: &'static str) -> Self {
        Self {
            known,
            raw: Vec::new(),
            same: 0,
            unit: Unit::Plain,
        }
    }

    /// Begins with another string.
    pub(super) fn begin(&mut self) {
        self.raw.clear();
        self.same = 0;
        self.unit = Unit::Plain;
    }

    /// What has come, as it is written.
    pub(super) fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// Takes a byte, unless all is known without it; says what is known, and whether it was taken.
    pub(super) fn take(&mut self, byte: u8) -> (Begins, bool) {
        if self.known.is_empty() || (matches!(self.unit, Unit::Plain) && byte == b'"') {
            return (Begins::Otherwise, false);
        }
        self.raw.push(byte);
        let character = match (&self.unit, byte) {
            (Unit::Plain, b'\\') => {
                self.unit = Unit::Escaped;
                return (Begins::Open, true);
            }
            (Unit::Plain, _) => u32::from(byte),
            (Unit::Escaped, b'u') => {
                self.unit = Unit::Number(0, 0);
                return (Begins::Open, true);
            }
            // Those that stand for another character are in no beginning that is compared with.
            (Unit::Escaped, b'/' | b'\\' | b'"') => u32::from(byte),
            (Unit::Escaped, _) => 0,
            (Unit::Number(so_far, digits), _) => {
                let number = so_far * 16 + char::from(byte).to_digit(16).unwrap_or_default();
                if *digits < 3 {
                    self.unit = Unit::Number(number, digits + 1);
                    return (Begins::Open, true);
                }
                number
            }
        };
        self.unit = Unit::Plain;
        let wanted = self.known.as_bytes().get(self.same).map(|byte| u32::from(*byte));
        self.same += 1;
        let begins = match wanted {
            Some(wanted) if wanted != character => Begins::Otherwise,
            _ if self.same < self.known.len() => Begins::Open,
            _ => Begins::Likewise,
        };
        (begins, true)
    }
}
