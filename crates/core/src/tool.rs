//! Tools of servers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Result, ToolName};

/// A tool of a server: its name and its whole definition, byte for byte.
///
/// Members of the definition that this release does not know reach the client unchanged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Box<RawValue>", into = "Box<RawValue>")]
pub struct Tool {
    name: ToolName,
    annotations: Annotations,
    definition: Box<RawValue>,
}

/// The annotations of a tool (`ToolAnnotations`, since 2025-03-26). They come from the server, so a policy may only become
/// stricter by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Annotations {
    /// `true` if the tool changes nothing.
    pub read_only_hint: Option<bool>,
    /// `true` if the tool may delete or overwrite; the default of the specification. Ignored for read-only tools.
    pub destructive_hint: Option<bool>,
    /// `true` if a second call with the same arguments changes nothing more.
    pub idempotent_hint: Option<bool>,
    /// `true` if the tool reaches systems outside of the server.
    pub open_world_hint: Option<bool>,
}

impl Tool {
    /// Parses a definition: a JSON object with a `name` of at most 256 bytes. Annotations of another shape than expected count
    /// as absent.
    ///
    /// ```
    /// use portolan_core::Tool;
    /// use serde_json::value::RawValue;
    ///
    /// let definition = RawValue::from_string(r#"{"name":"now","annotations":{"readOnlyHint":true}}"#.into());
    /// let tool = Tool::parse(definition.expect("JSON"))?;
    /// assert!(!tool.is_destructive());
    /// # Ok::<(), portolan_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for another JSON value, or a name that is no [`ToolName`].
    pub fn parse(definition: Box<RawValue>) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(borrow)]
            name: Cow<'a, str>,
            #[serde(borrow, default)]
            annotations: Option<&'a RawValue>,
        }
        // An array is no definition, though serde would take one for its members in a row.
        if !definition.get().starts_with('{') {
            return Err(Error::invalid("tool definition", "is not a JSON object"));
        }
        let head: Head<'_> =
            serde_json::from_str(definition.get()).map_err(|e| Error::invalid("tool definition", e.to_string()))?;
        let name = ToolName::parse(&*head.name)?;
        // Annotations of another shape are no reason to lose the tool.
        let annotations = head
            .annotations
            .and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default();
        Ok(Self {
            name,
            annotations,
            definition,
        })
    }

    /// Returns the name, as the server gives it.
    pub fn name(&self) -> &ToolName {
        &self.name
    }

    /// Returns the annotations.
    pub fn annotations(&self) -> Annotations {
        self.annotations
    }

    /// Returns the whole definition.
    pub fn definition(&self) -> &RawValue {
        &self.definition
    }

    /// Returns `true` if the tool may delete or overwrite, which it may unless its annotations say otherwise.
    pub fn is_destructive(&self) -> bool {
        let hints = self.annotations;
        hints.read_only_hint != Some(true) && hints.destructive_hint != Some(false)
    }

    /// Returns `true` if a call may be sent again when it is unknown whether the first one arrived.
    pub fn is_repeatable(&self) -> bool {
        let hints = self.annotations;
        hints.read_only_hint == Some(true) || hints.idempotent_hint == Some(true)
    }
}

impl PartialEq for Tool {
    fn eq(&self, other: &Self) -> bool {
        self.definition.get() == other.definition.get()
    }
}

impl TryFrom<Box<RawValue>> for Tool {
    type Error = Error;
    fn try_from(definition: Box<RawValue>) -> Result<Self> {
        Self::parse(definition)
    }
}

impl From<Tool> for Box<RawValue> {
    fn from(tool: Tool) -> Self {
        tool.definition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(text: &str) -> Result<Tool> {
        Tool::parse(RawValue::from_string(text.into()).expect("JSON"))
    }

    #[test]
    fn definition_survives_byte_for_byte() {
        let text = r#"{"name":"a","x-future":{"n":1.50e3},"annotations":{"readOnlyHint":true}}"#;
        let stored = serde_json::to_string(&tool(text).expect("tool")).expect("JSON");
        assert_eq!(stored, text);
        assert!(tool(text).expect("tool").is_repeatable());
    }

    #[test]
    fn odd_annotations_are_ignored() {
        let tool = tool(r#"{"name":"a","annotations":{"readOnlyHint":"yes"}}"#).expect("tool");
        assert!(tool.is_destructive() && !tool.is_repeatable());
    }

    #[test]
    fn nameless_definition_is_refused() {
        for none in ["{}", "[]", r#"{"name":""}"#, r#"["a",{}]"#, r#""a""#, "null"] {
            assert!(tool(none).is_err(), "{none}");
        }
    }
}
