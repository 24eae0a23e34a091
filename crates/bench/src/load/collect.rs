//! A body being read: a large text is measured and dropped, all else is kept.

/// How much is looked at in one step for the start of the text.
const WINDOW: usize = 512;

/// What comes before the text.
const TEXT: &[u8] = br#""text":""#;

/// A body. With `skip`, the first `text` member that comes is left empty in what is kept, and its length counted.
/// So a megabyte is checked to its last byte without being stored.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    kept: Vec<u8>,
    place: Place,
    text_length: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// No text is skipped, or not any more.
    #[default]
    Keeping,
    /// The text is still to come.
    Before,
    /// In the text.
    Inside,
}

impl Collector {
    pub(crate) fn reset(&mut self, skip: bool) {
        self.kept.clear();
        self.text_length = 0;
        self.place = if skip { Place::Before } else { Place::Keeping };
    }

    /// The body without the skipped text.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// The length of the skipped text.
    pub(crate) fn text_length(&self) -> usize {
        self.text_length
    }

    pub(crate) fn add(&mut self, mut bytes: &[u8]) {
        while self.place == Place::Before {
            if bytes.is_empty() {
                return;
            }
            let known = self.kept.len().saturating_sub(TEXT.len() - 1);
            let before = self.kept.len();
            let window = &bytes[..bytes.len().min(WINDOW)];
            self.kept.extend_from_slice(window);
            let Some(at) = memchr::memmem::find(&self.kept[known..], TEXT) else {
                bytes = &bytes[window.len()..];
                continue;
            };
            let end = known + at + TEXT.len();
            self.kept.truncate(end);
            bytes = &bytes[end - before..];
            self.place = Place::Inside;
        }
        if self.place == Place::Inside {
            let Some(end) = memchr::memchr(b'"', bytes) else {
                self.text_length += bytes.len();
                return;
            };
            self.text_length += end;
            bytes = &bytes[end..];
            self.place = Place::Keeping;
        }
        self.kept.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_counted_however_the_body_is_split() {
        let body = br#"{"result":{"content":[{"type":"text","text":"xxxxxxx"}]},"id":3}"#;
        for step in 1..=body.len() {
            let mut collector = Collector::default();
            collector.reset(true);
            body.chunks(step).for_each(|part| collector.add(part));
            assert_eq!(collector.text_length(), 7);
            assert_eq!(
                collector.kept(),
                br#"{"result":{"content":[{"type":"text","text":""}]},"id":3}"#
            );
        }
    }
}
