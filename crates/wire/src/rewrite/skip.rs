//! Skips values: strings at the speed of memory, containers by counting.

use super::StreamError;
use crate::scan::quotes;

/// Containers inside a skipped value may nest this deep: 1024 with the message and its result.
const MAX_DEPTH: u32 = 1022;

/// The inside of a string, wherever the chunks cut it.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The last byte was a backslash that escapes the next.
    escaped: bool,
}

impl Text {
    /// Where the string ends, after its quote; or nothing, if `text` ends first.
    pub(super) fn skip(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        at += usize::from(std::mem::take(&mut self.escaped));
        loop {
            at += special(text.get(at..)?)?;
            if text[at] == b'"' {
                return Some(at + 1);
            }
            if at + 1 == text.len() {
                self.escaped = true;
                return None;
            }
            at += 2;
        }
    }
}

/// The inside of an object or array.
#[derive(Debug)]
pub(super) struct Nested {
    object: bool,
    depth: u32,
    string: Option<Text>,
}

impl Nested {
    /// Begins after the opening bracket.
    pub(super) fn new(open: u8) -> Self {
        Self {
            object: open == b'{',
            depth: 1,
            string: None,
        }
    }

    /// Where the container ends, after its bracket; or nothing, if `text` ends first.
    pub(super) fn skip(&mut self, text: &[u8], mut at: usize) -> Result<Option<usize>, StreamError> {
        loop {
            if let Some(string) = &mut self.string {
                match string.skip(text, at) {
                    None => return Ok(None),
                    Some(end) => at = end,
                }
                self.string = None;
            }
            let Some(found) = structural(text, at) else {
                return Ok(None);
            };
            at = found + 1;
            match text[found] {
                b'"' => self.string = Some(Text::default()),
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > MAX_DEPTH {
                        return Err(StreamError::TooDeep);
                    }
                }
                close => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return if (close == b'}') == self.object {
                            Ok(Some(at))
                        } else {
                            Err(StreamError::Syntax)
                        };
                    }
                }
            }
        }
    }
}

/// The next quote or bracket.
fn structural(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let found = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
    Some(at + found)
}

/// The next quote or backslash. Most strings are short, and a call of memchr costs as much as
/// looking at a few words.
fn special(text: &[u8]) -> Option<usize> {
    const WORDS: usize = 4;
    let (words, _) = text.as_chunks::<8>();
    for (index, word) in words.iter().take(WORDS).enumerate() {
        let found = quotes(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let done = words.len().min(WORDS) * 8;
    memchr::memchr2(b'"', b'\\', &text[done..]).map(|at| done + at)
}
