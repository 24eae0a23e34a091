//! The names of tools and prompts towards clients.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest;
use bytes::Bytes;
use portolan_client::{ListSnapshot, Prompts, Tools, legacy_tool_definition, tasks::TaskSupport};
use portolan_core::{Naming, OmittedDefinition, ServerName, Tool};
use portolan_wire::{
    header::{self, ParamHeader},
    object::{self, RawObject},
};

/// The separator between the names of server and tool.
const SEPARATOR: &str = "__";

/// The maximum length of a name that all known clients accept.
const MAX_LEN: usize = 64;

/// A named item of a server, which clients may know by another name.
pub(crate) trait Named {
    /// Returns the server's own name.
    fn own(&self) -> &str;

    /// Returns `<server>__<name>`, within 64 characters.
    fn prefixed(&self) -> &str;

    /// Returns the server's definition.
    fn plain_definition(&self) -> &Bytes;

    /// Returns the definition with the prefixed name.
    fn prefixed_definition(&self) -> &Bytes;

    /// Returns the name under `naming`.
    fn name(&self, naming: Naming) -> &str {
        match naming {
            Naming::Plain => self.own(),
            _ => self.prefixed(),
        }
    }

    /// Returns the server's definition, with the name under `naming`.
    fn definition(&self, naming: Naming) -> &Bytes {
        match naming {
            Naming::Plain => self.plain_definition(),
            _ => self.prefixed_definition(),
        }
    }
}

/// The items of one server, indexed by both of their names.
#[derive(Debug)]
pub(crate) struct NameIndex<T> {
    items: Vec<T>,
    plain: HashMap<Box<str>, usize>,
    prefixed: HashMap<Box<str>, usize>,
    /// What was left out here.
    omitted: Vec<OmittedDefinition>,
}

/// A tool with what is needed to list and call it.
#[derive(Debug)]
pub(crate) struct ExposedTool {
    /// The tool itself.
    pub(crate) tool: Tool,
    prefixed: Box<str>,
    plain_definition: Bytes,
    prefixed_definition: Bytes,
    /// The tool for legacy clients, where its definition differs.
    legacy: Option<Box<LegacyTool>>,
    /// Arguments repeated in headers of a modern HTTP call (SEP-2243).
    pub(crate) headers: Vec<ParamHeader>,
    /// Whether its structured content is not an object, as 2026-07-28 allows.
    pub(crate) odd_output: bool,
    /// Whether the server runs it as a task.
    pub(crate) task_support: TaskSupport,
}

/// A tool as revisions before 2026-07-28 define it.
#[derive(Debug)]
pub(crate) struct LegacyTool {
    own: Box<str>,
    prefixed: Box<str>,
    plain_definition: Bytes,
    prefixed_definition: Bytes,
}

/// A prompt with what is needed to list and get it.
#[derive(Debug)]
pub(crate) struct ExposedPrompt {
    own: Box<str>,
    prefixed: Box<str>,
    plain_definition: Bytes,
    prefixed_definition: Bytes,
}

/// The tools of one server, by name.
pub(crate) type ExposedTools = NameIndex<ExposedTool>;

/// Returns the tools of a list under the names for clients. Computed once per list.
pub(crate) fn exposed_tools(server: &ServerName, listed: &ListSnapshot<Tools>) -> Arc<ExposedTools> {
    listed.derived(|tools| ExposedTools::new(server, tools.iter().cloned()))
}

/// Returns the prompts of a list under the names for clients. Computed once per list.
pub(crate) fn exposed_prompts(server: &ServerName, listed: &ListSnapshot<Prompts>) -> Arc<NameIndex<ExposedPrompt>> {
    listed.derived(|prompts| {
        let mut exposed = NameIndex::default();
        for prompt in prompts.iter() {
            let prefixed = prefixed(server, prompt.name());
            exposed.add(
                server,
                ExposedPrompt {
                    own: prompt.name().into(),
                    prefixed_definition: super::renamed(prompt.definition(), &prefixed),
                    prefixed,
                    plain_definition: prompt.definition().clone(),
                },
            );
        }
        exposed
    })
}

impl<T> Default for NameIndex<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            plain: HashMap::new(),
            prefixed: HashMap::new(),
            omitted: Vec::new(),
        }
    }
}

impl<T: Named> NameIndex<T> {
    /// Returns the position of the item that clients call `name`.
    pub(crate) fn position(&self, naming: Naming, name: &str) -> Option<usize> {
        let index = match naming {
            Naming::Plain => &self.plain,
            _ => &self.prefixed,
        };
        index.get(name).copied()
    }

    pub(crate) fn get(&self, at: usize) -> &T {
        &self.items[at]
    }

    /// Returns what was left out.
    pub(crate) fn omitted(&self) -> &[OmittedDefinition] {
        &self.omitted
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Adds an item. Of two with the same name, the first one is used.
    pub(crate) fn add(&mut self, server: &ServerName, item: T) {
        if self.plain.contains_key(item.own()) {
            tracing::warn!(%server, name = item.own(), "a server lists a name twice; the first one is used");
            return;
        }
        let at = self.items.len();
        self.plain.insert(item.own().into(), at);
        self.prefixed.entry(item.prefixed().into()).or_insert(at);
        self.items.push(item);
    }
}

impl ExposedTools {
    /// Exposes `tools` of `server`, without those that have invalid header annotations, as SEP-2243 requires of
    /// clients.
    pub(crate) fn new(server: &ServerName, tools: impl Iterator<Item = Tool>) -> Self {
        let mut exposed = Self::default();
        for tool in tools {
            let name = tool.name().clone();
            match expose(server, tool) {
                Ok(tool) => exposed.add(server, tool),
                Err(problem) => {
                    tracing::warn!(%server, %name, problem, "a tool is omitted: its definition is invalid");
                    let omitted = OmittedDefinition::new("tools", name.as_str(), problem);
                    exposed.omitted.push(omitted);
                }
            }
        }
        exposed
    }
}

impl Named for ExposedPrompt {
    fn own(&self) -> &str {
        &self.own
    }

    fn prefixed(&self) -> &str {
        &self.prefixed
    }

    fn plain_definition(&self) -> &Bytes {
        &self.plain_definition
    }

    fn prefixed_definition(&self) -> &Bytes {
        &self.prefixed_definition
    }
}

impl Named for LegacyTool {
    fn own(&self) -> &str {
        &self.own
    }

    fn prefixed(&self) -> &str {
        &self.prefixed
    }

    fn plain_definition(&self) -> &Bytes {
        &self.plain_definition
    }

    fn prefixed_definition(&self) -> &Bytes {
        &self.prefixed_definition
    }
}

impl ExposedTool {
    /// Returns the tool for legacy clients, if it differs.
    pub(crate) fn legacy(&self) -> Option<&LegacyTool> {
        self.legacy.as_deref()
    }
}

impl Named for ExposedTool {
    fn own(&self) -> &str {
        self.tool.name().as_str()
    }

    fn prefixed(&self) -> &str {
        &self.prefixed
    }

    fn plain_definition(&self) -> &Bytes {
        &self.plain_definition
    }

    fn prefixed_definition(&self) -> &Bytes {
        &self.prefixed_definition
    }
}

fn expose(server: &ServerName, tool: Tool) -> Result<ExposedTool, String> {
    let prefixed = prefixed(server, tool.name().as_str());
    let plain_definition = Bytes::copy_from_slice(tool.definition().get().as_bytes());
    let mut definition = RawObject::parse(&plain_definition).map_err(|fault| fault.to_string())?;
    let headers = match definition.get("inputSchema") {
        Some(schema) => header::param_headers(schema).map_err(|fault| fault.to_string())?,
        None => Vec::new(),
    };
    let odd_output = definition
        .get("outputSchema")
        .is_some_and(|schema| !is_of_object(schema));
    let task_support = TaskSupport::of(&definition);
    definition.set("name", object::quote(&prefixed));
    let prefixed_definition = definition.to_bytes();
    let legacy = legacy_tool_definition(&plain_definition).map(|plain_definition| {
        Box::new(LegacyTool {
            own: tool.name().as_str().into(),
            prefixed: prefixed.clone(),
            prefixed_definition: super::renamed(&plain_definition, &prefixed),
            plain_definition,
        })
    });
    Ok(ExposedTool {
        tool,
        prefixed,
        plain_definition,
        prefixed_definition,
        legacy,
        headers,
        odd_output,
        task_support,
    })
}

/// Returns whether a schema describes an object.
pub(crate) fn is_of_object(schema: &Bytes) -> bool {
    let members = RawObject::parse_checked(schema);
    members.is_ok_and(|members| members.get("type").is_some_and(|raw| raw == r#""object""#))
}

/// Returns `<server>__<tool>`; a longer name is truncated, with a digest of the whole.
pub(crate) fn prefixed(server: &ServerName, tool: &str) -> Box<str> {
    let whole = format!("{server}{SEPARATOR}{tool}");
    if whole.len() <= MAX_LEN {
        return whole.into();
    }
    let hashed = digest::digest(&digest::SHA256, whole.as_bytes());
    let tail = hashed.as_ref()[..4]
        .iter()
        .fold(String::from("_"), |tail, byte| tail + &format!("{byte:02x}"));
    let mut end = MAX_LEN - tail.len();
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &whole[..end]).into()
}

/// Returns the server of a prefixed name. Server names contain no `_`, so the first separator ends it.
pub(crate) fn server_of(name: &str) -> Option<&str> {
    name.split_once(SEPARATOR).map(|(server, _)| server)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> ServerName {
        ServerName::parse(name).expect("name")
    }

    #[test]
    fn long_names_stay_unique() {
        let (a, b) = (format!("{}a", "x".repeat(80)), format!("{}b", "x".repeat(80)));
        let (a, b) = (prefixed(&server("s"), &a), prefixed(&server("s"), &b));
        assert_ne!(a, b);
        assert!(a.len() == MAX_LEN && b.len() == MAX_LEN);
        assert_eq!(server_of(&a), Some("s"));
    }

    #[test]
    fn separator_in_tool_name() {
        assert_eq!(server_of(&prefixed(&server("a-b"), "x__y")), Some("a-b"));
    }

    #[test]
    fn names_are_cut_at_char_boundary() {
        assert!(prefixed(&server("s"), &"ä".repeat(60)).len() <= MAX_LEN);
    }
}
