//! Collects a response body; a large text is counted instead of stored.

/// The bytes that are searched for the start of the text in one step.
const WINDOW: usize = 512;

/// The bytes before the text.
const TEXT_MEMBER: &[u8] = br#""text":""#;

/// A response body. With `skip`, the first `text` member is stored as an empty text, and its length is counted.
/// So a text of a megabyte is checked without being stored.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    content: Vec<u8>,
    text_state: TextState,
    text_length: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum TextState {
    /// No text is skipped, or the text is over.
    #[default]
    Keeping,
    /// Before the text.
    Before,
    /// Inside the text.
    Inside,
}

impl Collector {
    pub(crate) fn reset(&mut self, skip: bool) {
        self.content.clear();
        self.text_length = 0;
        self.text_state = if skip { TextState::Before } else { TextState::Keeping };
    }

    /// Returns the body without the skipped text.
    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }

    /// Returns the length of the skipped text, in bytes.
    pub(crate) fn text_length(&self) -> usize {
        self.text_length
    }

    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while self.text_state == TextState::Before {
            if bytes.is_empty() {
                return;
            }
            let search_from = self.content.len().saturating_sub(TEXT_MEMBER.len() - 1);
            let before = self.content.len();
            let window = &bytes[..bytes.len().min(WINDOW)];
            self.content.extend_from_slice(window);
            let Some(at) = memchr::memmem::find(&self.content[search_from..], TEXT_MEMBER) else {
                bytes = &bytes[window.len()..];
                continue;
            };
            let end = search_from + at + TEXT_MEMBER.len();
            self.content.truncate(end);
            bytes = &bytes[end - before..];
            self.text_state = TextState::Inside;
        }
        if self.text_state == TextState::Inside {
            let Some(end) = memchr::memchr(b'"', bytes) else {
                self.text_length += bytes.len();
                return;
            };
            self.text_length += end;
            bytes = &bytes[end..];
            self.text_state = TextState::Keeping;
        }
        self.content.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_length_across_splits() {
        let body = br#"{"result":{"content":[{"type":"text","text":"xxxxxxx"}]},"id":3}"#;
        for step in 1..=body.len() {
            let mut collector = Collector::default();
            collector.reset(true);
            body.chunks(step).for_each(|part| collector.add(part));
            assert_eq!(collector.text_length(), 7);
            assert_eq!(
                collector.content(),
                br#"{"result":{"content":[{"type":"text","text":""}]},"id":3}"#
            );
        }
    }
}
