//! The encoding of sealed payloads: a sequence of fields without names.
//!
//! A payload is authenticated, but parsed as untrusted input: keys may be shared with another version of this program.

/// Writes fields.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// Reads fields; each method returns `None` if the payload does not match.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl Writer {
    pub(crate) fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }

    pub(crate) fn number(mut self, number: u64) -> Self {
        // LEB128: most numbers are small, and ids have little space.
        let mut rest = number;
        while rest >= 0x80 {
            self.0.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        self
    }

    pub(crate) fn fixed<const N: usize>(mut self, bytes: &[u8; N]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut with_length = self.number(bytes.len() as u64);
        with_length.0.extend_from_slice(bytes);
        with_length
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

impl<'a> Reader<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self(payload)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for at in 0..10 {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if at == 9 && bits > 1 {
                return None;
            }
            number |= bits << (7 * at);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Returns `None` if the payload has further data.
    pub(crate) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_round_trip() {
        let payload = Writer::default()
            .byte(7)
            .number(0)
            .number(127)
            .number(128)
            .number(u64::MAX)
            .fixed(&[1, 2, 3])
            .bytes(b"text")
            .done();
        let mut reader = Reader::new(&payload);
        assert_eq!(reader.byte(), Some(7));
        for number in [0, 127, 128, u64::MAX] {
            assert_eq!(reader.number(), Some(number));
        }
        assert_eq!(reader.fixed(), Some([1, 2, 3]));
        assert_eq!(reader.text(), Some("text"));
        assert_eq!(reader.end(), Some(()));
    }

    #[test]
    fn malformed_fields_are_rejected() {
        assert_eq!(Reader::new(&[0xff; 11]).number(), None);
        assert_eq!(Reader::new(&[0x80]).number(), None);
        assert_eq!(Reader::new(&[5, 1]).bytes(), None);
        assert_eq!(Reader::new(&[1, 0xff]).text(), None);
        assert_eq!(Reader::new(&[0]).end(), None);
    }
}
