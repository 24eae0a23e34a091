//! Definitions that clients do not get.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A definition that a server lists and that no client gets, because it does not fit the protocol's schema: most clients
/// refuse a whole list for one such item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OmittedDefinition {
    /// The list: `tools`, `prompts`, `resources` or `resourceTemplates`.
    pub list: Box<str>,
    /// The name, URI or template; the position, such as `#3`, of one without.
    pub name: Box<str>,
    /// What does not fit, and where.
    pub problem: Box<str>,
}

impl OmittedDefinition {
    /// Creates one.
    ///
    /// ```
    /// let omitted = portolan_core::OmittedDefinition::new("tools", "bad", "inputSchema: is missing");
    /// assert_eq!(omitted.to_string(), "bad: inputSchema: is missing");
    /// ```
    pub fn new(list: impl Into<Box<str>>, name: impl Into<Box<str>>, problem: impl Into<Box<str>>) -> Self {
        Self {
            list: list.into(),
            name: name.into(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for OmittedDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.problem)
    }
}
