//! A tool, as its server describes it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Error, Result, ToolName};

/// A tool of a server: its name, and its whole definition as it stood on the wire.
///
/// The definition is kept raw, so that fields which this release does not know reach the client unchanged.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Box<RawValue>", into = "Box<RawValue>")]
pub struct Tool {
    name: ToolName,
    annotations: Annotations,
    definition: Box<RawValue>,
}

/// The hints of a tool about itself (`ToolAnnotations`, since 2025-03-26). Untrusted: they may only tighten a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Annotations {
    /// It changes nothing.
    pub read_only_hint: Option<bool>,
    /// It may delete or overwrite. Meaningful unless read-only; taken as `true` when not said.
    pub destructive_hint: Option<bool>,
    /// Calling it twice with the same arguments is calling it once.
    pub idempotent_hint: Option<bool>,
    /// It reaches the world outside.
    pub open_world_hint: Option<bool>,
}

impl Tool {
    /// Takes a definition from the wire: a JSON object with a `name` that can be used.
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
            return Err(Error::invalid("tool definition", "is no JSON object"));
        }
        let head: Head<'_> =
            serde_json::from_str(definition.get()).map_err(|e| Error::invalid("tool definition", e.to_string()))?;
        let name = ToolName::parse(&*head.name)?;
        // Hints of an odd shape are no reason to lose the tool: they count as not given.
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

    /// Its name, as its server knows it.
    pub fn name(&self) -> &ToolName {
        &self.name
    }

    /// Its hints about itself.
    pub fn annotations(&self) -> Annotations {
        self.annotations
    }

    /// Its whole definition, as it stood on the wire.
    pub fn definition(&self) -> &RawValue {
        &self.definition
    }

    /// Whether it may delete or overwrite; so unless it says otherwise.
    pub fn is_destructive(&self) -> bool {
        let hints = self.annotations;
        hints.read_only_hint != Some(true) && hints.destructive_hint != Some(false)
    }

    /// Whether a call may be sent a second time when nobody knows whether the first one arrived.
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
    fn a_definition_survives_byte_for_byte() {
        let text = r#"{"name":"a","x-future":{"n":1.50e3},"annotations":{"readOnlyHint":true}}"#;
        let stored = serde_json::to_string(&tool(text).expect("tool")).expect("JSON");
        assert_eq!(stored, text);
        assert!(tool(text).expect("tool").is_repeatable());
    }

    #[test]
    fn odd_hints_do_not_lose_the_tool() {
        let tool = tool(r#"{"name":"a","annotations":{"readOnlyHint":"yes"}}"#).expect("tool");
        assert!(tool.is_destructive() && !tool.is_repeatable());
    }

    #[test]
    fn a_definition_without_a_name_is_refused() {
        for none in ["{}", "[]", r#"{"name":""}"#, r#"["a",{}]"#, r#""a""#, "null"] {
            assert!(tool(none).is_err(), "{none}");
        }
    }
}
