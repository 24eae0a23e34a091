//! How tools and prompts are called towards clients.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest;
use bytes::Bytes;
use portolan_client::{ListSnapshot, Prompts, Tools, tasks::TaskSupport};
use portolan_core::{Naming, ServerName, Tool};
use portolan_wire::{
    header::{self, ParamHeader},
    object::{self, RawObject},
};

/// What stands between a server's name and a tool's.
const SEPARATOR: &str = "__";

/// The longest name that clients are known to take.
const MAX_LEN: usize = 64;

/// Something that a server names, and that clients may call by another name.
pub(crate) trait Named {
    /// Its name, as its server knows it.
    fn own(&self) -> &str;

    /// `<server>__<name>`, within 64 characters.
    fn prefixed(&self) -> &str;

    /// What its server said.
    fn plain_definition(&self) -> &Bytes;

    /// The same with the prefixed name.
    fn prefixed_definition(&self) -> &Bytes;

    /// Its name under `naming`.
    fn name(&self, naming: Naming) -> &str {
        match naming {
            Naming::Plain => self.own(),
            _ => self.prefixed(),
        }
    }

    /// Its definition under `naming`: what its server said, with the name that clients call it by.
    fn definition(&self, naming: Naming) -> &Bytes {
        match naming {
            Naming::Plain => self.plain_definition(),
            _ => self.prefixed_definition(),
        }
    }
}

/// What one server names, by its names.
#[derive(Debug)]
pub(crate) struct NameIndex<T> {
    items: Vec<T>,
    plain: HashMap<Box<str>, usize>,
    prefixed: HashMap<Box<str>, usize>,
}

/// A tool as it is listed and called.
#[derive(Debug)]
pub(crate) struct ExposedTool {
    /// The tool itself.
    pub(crate) tool: Tool,
    prefixed: Box<str>,
    plain_definition: Bytes,
    prefixed_definition: Bytes,
    /// Arguments that are repeated in headers of a modern HTTP call (SEP-2243).
    pub(crate) headers: Vec<ParamHeader>,
    /// Whether its structured content is of another kind than an object, as 2026-07-28 allows.
    pub(crate) odd_output: bool,
    /// Whether a legacy server runs it as a task.
    pub(crate) task_support: TaskSupport,
}

/// A prompt as it is listed and got.
#[derive(Debug)]
pub(crate) struct ExposedPrompt {
    own: Box<str>,
    prefixed: Box<str>,
    plain_definition: Bytes,
    prefixed_definition: Bytes,
}

/// The tools of one server, by their names.
pub(crate) type ExposedTools = NameIndex<ExposedTool>;

/// The tools of a list, under the names that clients call them by. Made once for each list.
pub(crate) fn exposed_tools(server: &ServerName, listed: &ListSnapshot<Tools>) -> Arc<ExposedTools> {
    listed.derived(|tools| ExposedTools::new(server, tools.iter().cloned()))
}

/// The prompts of a list, in the same way.
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
        }
    }
}

impl<T: Named> NameIndex<T> {
    /// Where that stands which clients call `name`.
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

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Puts one more in. Of two with one name the first counts.
    pub(crate) fn add(&mut self, server: &ServerName, item: T) {
        if self.plain.contains_key(item.own()) {
            tracing::warn!(%server, name = item.own(), "a server lists a name twice; the first one counts");
            return;
        }
        let at = self.items.len();
        self.plain.insert(item.own().into(), at);
        self.prefixed.entry(item.prefixed().into()).or_insert(at);
        self.items.push(item);
    }
}

impl ExposedTools {
    /// Exposes `tools` of `server`. One whose header annotations cannot be followed is left out, as SEP-2243 asks of
    /// clients.
    pub(crate) fn new(server: &ServerName, tools: impl Iterator<Item = Tool>) -> Self {
        let mut exposed = Self::default();
        for tool in tools {
            match expose(server, tool) {
                Ok(tool) => exposed.add(server, tool),
                Err(problem) => tracing::warn!(%server, problem, "a tool is left out"),
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
    let mut definition = RawObject::parse(&plain_definition).map_err(|fault| format!("{}: {fault}", tool.name()))?;
    let headers = match definition.get("inputSchema") {
        Some(schema) => header::param_headers(schema).map_err(|fault| format!("{}: {fault}", tool.name()))?,
        None => Vec::new(),
    };
    let odd_output = definition
        .get("outputSchema")
        .is_some_and(|schema| !is_of_object(schema));
    let task_support = TaskSupport::of(&definition);
    definition.set("name", object::quote(&prefixed));
    let prefixed_definition = definition.to_bytes();
    Ok(ExposedTool {
        tool,
        prefixed,
        plain_definition,
        prefixed_definition,
        headers,
        odd_output,
        task_support,
    })
}

/// Whether a schema is one of an object.
pub(crate) fn is_of_object(schema: &Bytes) -> bool {
    let members = RawObject::parse_checked(schema);
    members.is_ok_and(|members| members.get("type").is_some_and(|raw| raw == r#""object""#))
}

/// `<server>__<tool>`; what is too long is cut and told apart by a digest of the whole.
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

/// The server that a prefixed name begins with. Server names hold no `_`, so the first separator is the one.
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
    fn long_names_stay_apart_within_64_characters() {
        let (a, b) = (format!("{}a", "x".repeat(80)), format!("{}b", "x".repeat(80)));
        let (a, b) = (prefixed(&server("s"), &a), prefixed(&server("s"), &b));
        assert_ne!(a, b);
        assert!(a.len() == MAX_LEN && b.len() == MAX_LEN);
        assert_eq!(server_of(&a), Some("s"));
    }

    #[test]
    fn a_tool_with_the_separator_in_its_name_keeps_its_server() {
        assert_eq!(server_of(&prefixed(&server("a-b"), "x__y")), Some("a-b"));
    }

    #[test]
    fn a_cut_name_is_cut_between_characters() {
        assert!(prefixed(&server("s"), &"ä".repeat(60)).len() <= MAX_LEN);
    }
}
