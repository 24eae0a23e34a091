//! Finds out whose answer a line is that cannot be parsed: too long to be kept, or malformed.

/// The longest key and value that matter: `"method"`, and a number of 20 digits.
const KEPT: usize = 24;

/// Follows a line of JSON piece by piece, in constant memory, and keeps the id at its top level.
///
/// It checks no grammar. What it finds is only trusted for choosing the call that fails.
#[derive(Debug, Default)]
pub(crate) struct IdScanner {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The text of the present key or value at the top level, as far as it matters.
    text: Vec<u8>,
    /// Whether the next thing at the top level is a value, and which.
    key: Option<Key>,
    id: Option<u64>,
    /// Which other members are there: an answer has the first two and not the third.
    has_version: bool,
    has_outcome: bool,
    has_method: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Id,
    Other,
}

impl IdScanner {
    /// Follows the next piece of the line.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.depth > 1 || self.key == Some(Key::Other) {
                let skip = self.boring(piece);
                piece = &piece[skip..];
            }
            let Some((&byte, rest)) = piece.split_first() else {
                return;
            };
            self.step(byte);
            piece = rest;
        }
    }

    /// The id, if the line is an answer under a number.
    pub(crate) fn answered(&self) -> Option<u64> {
        let is_answer = self.has_version && self.has_outcome && !self.has_method;
        self.id.filter(|_| is_answer)
    }

    /// How many of the next bytes cannot change anything.
    fn boring(&self, piece: &[u8]) -> usize {
        if !self.in_string {
            return 0;
        }
        match self.escaped {
            true => 0,
            false => memchr::memchr2(b'"', b'\\', piece).unwrap_or(piece.len()),
        }
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.step_in_string(byte);
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.end_of_value();
                self.depth = self.depth.saturating_sub(1);
            }
            b':' if self.depth == 1 => self.end_of_key(),
            b',' if self.depth == 1 => self.end_of_value(),
            b' ' | b'\t' | b'\r' => {}
            _ => self.keep(byte),
        }
    }

    fn step_in_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => {
                self.escaped = true;
                self.keep(byte);
            }
            b'"' => self.in_string = false,
            _ if self.key.is_none() => self.keep(byte),
            // A text is never one of our ids.
            _ => self.keep(b'"'),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth == 1 && self.text.len() < KEPT {
            self.text.push(byte);
        }
    }

    fn end_of_key(&mut self) {
        self.key = Some(if self.text == b"id" { Key::Id } else { Key::Other });
        match self.text.as_slice() {
            b"jsonrpc" => self.has_version = true,
            b"result" | b"error" => self.has_outcome = true,
            b"method" => self.has_method = true,
            _ => {}
        }
        self.text.clear();
    }

    fn end_of_value(&mut self) {
        if self.depth != 1 {
            return;
        }
        if self.key == Some(Key::Id) {
            self.id = std::str::from_utf8(&self.text).ok().and_then(|text| text.parse().ok());
        }
        self.key = None;
        self.text.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan_id(line: &str, chunk: usize) -> Option<u64> {
        let mut scanner = IdScanner::default();
        for piece in line.as_bytes().chunks(chunk.max(1)) {
            scanner.feed(piece);
        }
        scanner.answered()
    }

    #[test]
    fn the_id_is_found_before_and_after_the_result() {
        assert_eq!(scan_id(r#"{"jsonrpc":"2.0","id":7,"result":{"id":8}}"#, 3), Some(7));
        assert_eq!(
            scan_id(r#"{"result":{"a":["}",{"id":8}]},"jsonrpc":"2.0","id": 7 }"#, 1),
            Some(7)
        );
        assert_eq!(
            scan_id(r#"{"result":"x\",\"id\":9}","jsonrpc":"2.0","id":7}"#, 4),
            Some(7)
        );
    }

    #[test]
    fn requests_texts_and_inner_ids_are_not_ours() {
        for line in [
            r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","result":{"id":7}}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":1}"#,
            r#"{"jsonrpc":"2.0","id":null,"result":1}"#,
            r#"{"level":"info","id":7,"error":"a line of somebody's log"}"#,
            r#"{"jsonrpc":"2.0","id":7}"#,
            "7",
            "",
        ] {
            assert_eq!(scan_id(line, 5), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_in_the_result_hides_nothing(text in "\\PC{0,40}", id: u64, chunk in 1usize..9) {
            let text = serde_json::to_string(&text).unwrap();
            let line = format!(r#"{{"jsonrpc":"2.0","result":{{"t":{text},"d":[{text}]}},"x":{text},"id":{id}}}"#);
            prop_assert_eq!(scan_id(&line, chunk), Some(id));
        }
    }
}
