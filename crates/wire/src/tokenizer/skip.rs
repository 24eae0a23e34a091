//! Skips values: strings at the speed of memory, containers by counting.

use super::TokenError;
use crate::scan::quotes;

/// Skips the rest of a string, across chunks.
#[derive(Debug, Default)]
pub(super) struct StringSkipper {
    /// The last byte was a backslash, which escapes the next.
    escaped: bool,
}

impl StringSkipper {
    /// Returns where the string ends, after its quote; `None` if `text` ends first.
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

/// Skips the rest of an object or array, across chunks.
#[derive(Debug)]
pub(super) struct ContainerSkipper {
    object: bool,
    depth: u32,
    string: Option<StringSkipper>,
}

impl ContainerSkipper {
    /// Starts after the opening bracket.
    pub(super) fn new(open: u8) -> Self {
        Self {
            object: open == b'{',
            depth: 1,
            string: None,
        }
    }

    /// Returns where the container ends, after its bracket; `None` if `text` ends first. Containers may nest `max_depth`
    /// deep, this one included.
    pub(super) fn skip(&mut self, text: &[u8], mut at: usize, max_depth: u32) -> Result<Option<usize>, TokenError> {
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
                b'"' => self.string = Some(StringSkipper::default()),
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > max_depth {
                        return Err(TokenError::TooDeep);
                    }
                }
                close => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return if (close == b'}') == self.object {
                            Ok(Some(at))
                        } else {
                            Err(TokenError::Syntax)
                        };
                    }
                }
            }
        }
    }
}

/// Returns the position of the next quote or bracket.
fn structural(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let found = rest
        .iter()
        .position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
    Some(at + found)
}

/// Returns the position of the next quote or backslash. Most strings are short, and a call of memchr costs as much as
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
