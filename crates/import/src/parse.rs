//! Text to [`Node`]s: JSON, JSON with comments, YAML and TOML.

mod json;
mod toml;
mod yaml;

use crate::node::{Node, Value};
use crate::{Error, MAX_BYTES};

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// JSON as its standard has it.
    Json,
    /// JSON with comments, but without trailing commas.
    JsonComments,
    /// JSON with comments and trailing commas.
    Jsonc,
    Yaml,
    Toml,
}

/// Deeper values are refused.
const MAX_DEPTH: usize = 64;

/// Parses `text`, which may begin with a byte order mark. Size and nesting are bounded.
pub(crate) fn parse(language: Language, text: &str) -> Result<Node, Error> {
    if text.len() > MAX_BYTES {
        return Err(Error::TooLarge { bytes: text.len() });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = match language {
        Language::Json | Language::JsonComments | Language::Jsonc => json::parse(language, text),
        Language::Yaml => yaml::parse(text),
        Language::Toml => toml::parse(text),
    }?;
    check_sizes(&root)?;
    Ok(root)
}

/// More members of one list or map are refused.
const MAX_MEMBERS: usize = 5_000;

/// Checks the sizes of lists and maps, in all of the tree.
fn check_sizes(node: &Node) -> Result<(), Error> {
    let (count, mut inner): (usize, Box<dyn Iterator<Item = &Node>>) = match &node.value {
        Value::List(items) => (items.len(), Box::new(items.iter())),
        Value::Map(members) => (members.len(), Box::new(members.iter().map(|(_, node)| node))),
        _ => return Ok(()),
    };
    if count > MAX_MEMBERS {
        return Err(Error::shape(node.line, "a list or map has more than 5,000 members"));
    }
    inner.try_for_each(check_sizes)
}

/// Finds the lines of byte offsets.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(
            text.bytes()
                .enumerate()
                .filter_map(|(at, byte)| (byte == b'\n').then_some(at))
                .collect(),
        )
    }

    /// Returns the line of a byte offset, from 1.
    fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|&end| end < offset)).map_or(u32::MAX, |before| before.saturating_add(1))
    }

    /// Returns the column of a byte offset in bytes, from 1.
    fn column(&self, offset: usize) -> u32 {
        let before = self.0.partition_point(|&end| end < offset);
        let start = before
            .checked_sub(1)
            .and_then(|last| self.0.get(last))
            .map_or(0, |end| end + 1);
        u32::try_from(offset.saturating_sub(start)).map_or(u32::MAX, |column| column.saturating_add(1))
    }
}

fn too_deep(line: u32) -> Error {
    Error::shape(line, "the values are nested too deep")
}
