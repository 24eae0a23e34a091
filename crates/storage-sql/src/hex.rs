//! Hexadecimal digits.

/// Writes bytes as lower-case digits, in one piece of memory, as they may be secret.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            digits.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    digits
}

/// Reads digits of either case, into one piece of memory; `None` for anything else.
pub(crate) fn decode(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.as_bytes().chunks(2) {
        let [high, low] = *<&[u8; 2]>::try_from(pair).ok()?;
        let [high, low] = [high, low].map(|digit| char::from(digit).to_digit(16));
        bytes.push(u8::try_from(high? << 4 | low?).ok()?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back() {
        assert_eq!(decode(&encode(&[0, 10, 255])), Some(vec![0, 10, 255]));
        assert_eq!(decode("FF"), Some(vec![255]));
        for bad in ["f", "+1", "0g", "é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
