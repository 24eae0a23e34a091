//! The identifier of a request in logs and audit records.

use std::fmt;

/// The identifier of a request: 16 hexadecimal digits, which every request has and few are asked for.
#[derive(Clone, Copy)]
pub(crate) struct RequestLabel([u8; 16]);

impl RequestLabel {
    pub(crate) fn new(number: u64) -> Self {
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(number >> (60 - 4 * at) & 15) as usize];
        }
        Self(digits)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for RequestLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_label_is_hexadecimal() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(RequestLabel::new(number).as_str(), format!("{number:016x}"));
        }
    }
}
