//! Finds the id of a response that cannot be parsed.

use crate::tokenizer::{Container, Handler, TokenError, Tokenizer, ValueAction};

/// The longest number that is an id, in digits.
const MAX_DIGITS: usize = 20;

/// Finds the numeric id of a response in a text that cannot be parsed: because it is too long to be kept, or malformed.
///
/// It takes the text in chunks and needs constant memory. It skips what stands before the first `{`, and stops where the
/// members of the message are malformed. What it finds is good enough to choose the call that fails, and no more.
///
/// ```
/// use portolan_wire::envelope::ResponseIdScanner;
///
/// let mut scanner = ResponseIdScanner::new();
/// for chunk in [r#"{"jsonrpc":"2.0","result":{"text":"no e"#, r#"nd"},"id":7"#, r#",oops"#] {
///     scanner.push(chunk.as_bytes());
/// }
/// assert_eq!(scanner.id(), Some(7));
/// ```
#[derive(Debug)]
pub struct ResponseIdScanner {
    tokenizer: Tokenizer,
    members: Members,
    /// The message has begun.
    has_begun: bool,
    /// The message is malformed from here on.
    has_stopped: bool,
}

/// The members of the message that have been seen.
#[derive(Debug, Default)]
struct Members {
    is_id: bool,
    id: Option<u64>,
    value: Vec<u8>,
    has_version: bool,
    has_outcome: bool,
    has_method: bool,
}

impl ResponseIdScanner {
    /// Returns a scanner at the beginning of a text.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tokenizer: Tokenizer::new(),
            members: Members::default(),
            has_begun: false,
            has_stopped: false,
        }
    }

    /// Takes the next chunk of the text.
    pub fn push(&mut self, mut chunk: &[u8]) {
        if self.has_stopped {
            return;
        }
        if !self.has_begun {
            let Some(start) = memchr::memchr(b'{', chunk) else {
                return;
            };
            self.has_begun = true;
            chunk = &chunk[start..];
        }
        self.has_stopped = self.tokenizer.push(chunk, &mut self.members).is_err();
    }

    /// Returns the id, if the text so far is a response with a number as its id.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        let members = &self.members;
        let is_response = members.has_version && members.has_outcome && !members.has_method;
        members.id.filter(|_| is_response)
    }
}

impl Default for ResponseIdScanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Handler for Members {
    type Error = TokenError;
    /// One more than `jsonrpc`.
    const MAX_KEY: usize = 8;
    const MAX_SKIPPED_DEPTH: u32 = u32::MAX - 1;

    fn key(&mut self, key: &[u8], _at: usize) -> Result<(), TokenError> {
        self.is_id = key == b"id";
        match key {
            b"jsonrpc" => self.has_version = true,
            b"result" | b"error" => self.has_outcome = true,
            b"method" => self.has_method = true,
            _ => {}
        }
        Ok(())
    }

    fn long_key(&mut self, _key: &[u8], _at: usize) {
        self.is_id = false;
    }

    fn value(&mut self, first: u8, _at: usize, parent: Option<Container>) -> Result<ValueAction, TokenError> {
        Ok(match parent {
            None => ValueAction::Enter,
            Some(_) if self.is_id && first.is_ascii_digit() => {
                self.value.clear();
                self.value.push(first);
                ValueAction::Capture
            }
            Some(_) => ValueAction::Skip,
        })
    }

    fn value_part(&mut self, part: &[u8]) -> Result<(), TokenError> {
        // One digit more than an id has is enough to tell that it is none.
        let room = (MAX_DIGITS + 1).saturating_sub(self.value.len());
        self.value.extend_from_slice(&part[..part.len().min(room)]);
        Ok(())
    }

    fn value_end(&mut self, _at: usize) -> Result<(), TokenError> {
        self.id = std::str::from_utf8(&self.value).ok().and_then(|text| text.parse().ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan_id(text: &str, size: usize) -> Option<u64> {
        let mut scanner = ResponseIdScanner::new();
        for chunk in text.as_bytes().chunks(size) {
            scanner.push(chunk);
        }
        scanner.id()
    }

    #[test]
    fn id_before_or_after_result() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#,
            r#"{"result":{"a":["}",{"id":8}]},"jsonrpc":"2.0","id": 7 }"#,
            r#"{"result":"x\",\"id\":9}","jsonrpc":"2.0","id":7}"#,
        ] {
            for size in [1, 3, 4, 1000] {
                assert_eq!(scan_id(text, size), Some(7), "{text}");
            }
        }
    }

    #[test]
    fn malformed_responses_have_ids() {
        let deep = format!(
            r#"{{"jsonrpc":"2.0","result":{},"id":7}}"#,
            "[".repeat(5000) + &"]".repeat(5000)
        );
        for text in [
            r#"Debugger attached.{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","result":{"a":NaN,},"id":7}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":undefined}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{"text":"cut of"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}{"jsonrpc":"2.0","id":8,"result":{}}"#,
            &deep,
        ] {
            assert_eq!(scan_id(text, 5), Some(7), "{text}");
        }
    }

    #[test]
    fn other_lines_have_no_id() {
        for text in [
            r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","result":{"id":7}}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"result":1}"#,
            r#"{"level":"info","id":7,"error":"a line of somebody's log"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            r#"{"jsonrpc":"2.0","identity":7,"result":1}"#,
            "7",
            "",
        ] {
            assert_eq!(scan_id(text, 5), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_in_result_is_skipped(text in "\\PC{0,40}", id: u64, size in 1usize..9) {
            let text = serde_json::to_string(&text).unwrap();
            let line = format!(r#"{{"jsonrpc":"2.0","result":{{"t":{text},"d":[{text}]}},"x":{text},"id":{id}}}"#);
            prop_assert_eq!(scan_id(&line, size), Some(id));
        }

        #[test]
        fn hostile_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), size in 1usize..9) {
            let mut scanner = ResponseIdScanner::new();
            bytes.chunks(size).for_each(|chunk| scanner.push(chunk));
            let _ = scanner.id();
        }
    }
}
