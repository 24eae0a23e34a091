//! Text with inputs in it.

use std::fmt;

use serde::{Serialize, Serializer};

/// A string of a server, in which inputs stand for what somebody has to supply.
///
/// `Display` and `Serialize` write `<<NAME>>` for the input of that name.
///
/// ```
/// use portolan_import::{Part, Text};
///
/// let text = Text::new([Part::Literal("Bearer ".into()), Part::Input("TOKEN".into())]);
/// assert_eq!(text.to_string(), "Bearer <<TOKEN>>");
/// assert_eq!(text.literal(), None);
/// assert_eq!(Text::from("plain").literal(), Some("plain"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(Vec<Part>);

/// A part of a [`Text`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Text as it is.
    Literal(String),
    /// The value of the input with this name.
    Input(String),
}

impl Text {
    /// Joins parts. Empty literals vanish, and literals beside each other become one.
    pub fn new(parts: impl IntoIterator<Item = Part>) -> Self {
        let mut text = Self::default();
        for part in parts {
            text.push(part);
        }
        text
    }

    /// Returns the text of one input and nothing else.
    pub fn input(name: impl Into<String>) -> Self {
        Self(vec![Part::Input(name.into())])
    }

    /// Returns the parts.
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Returns the text if no input is in it.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the name of the input that is the whole text.
    pub fn whole_input(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Part::Input(name)] => Some(name),
            _ => None,
        }
    }

    /// Returns the names of the inputs in it.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Input(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// Returns the length in bytes, with inputs as they are displayed.
    pub(crate) fn len(&self) -> usize {
        let length = |part: &Part| match part {
            Part::Literal(text) => text.len(),
            Part::Input(name) => name.len() + 4,
        };
        self.0.iter().map(length).sum()
    }

    pub(crate) fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (_, Part::Literal(text)) if text.is_empty() => {}
            (Some(Part::Literal(last)), Part::Literal(text)) => last.push_str(&text),
            (_, part) => self.0.push(part),
        }
    }

    pub(crate) fn push_text(&mut self, text: &Self) {
        for part in &text.0 {
            self.push(part.clone());
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new([Part::Literal(text.into())])
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new([Part::Literal(text)])
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Input(name) => write!(f, "<<{name}>>")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
