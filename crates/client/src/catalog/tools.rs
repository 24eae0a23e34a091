//! The tools of a server.

use std::collections::HashMap;

use portolan_core::Tool;
use portolan_wire::method::Method;
use serde_json::value::RawValue;

use super::{
    Listing, ServerLists, limits,
    sealed::{Cached, Lists, Read, Source},
};
use crate::server_notifications::ListKind;

/// The tools of one server, in its order. Of two with one name the first counts.
#[derive(Debug, Default)]
pub struct Tools {
    items: Vec<Tool>,
    by_name: HashMap<Box<str>, usize>,
}

impl Tools {
    pub(super) fn new(tools: Vec<Tool>) -> Self {
        let mut read = Self::default();
        for tool in tools {
            let name = tool.name().as_str();
            if !read.by_name.contains_key(name) {
                read.by_name.insert(name.into(), read.items.len());
                read.items.push(tool);
            }
        }
        read
    }

    /// The tool of this name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name).map(|at| &self.items[*at])
    }

    /// All tools.
    pub fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.items.iter()
    }
}

impl Listing for Tools {
    const METHOD: Method = Method::ToolsList;
    const MEMBER: &'static str = "tools";
}

impl Read for Tools {
    const CAPABILITY: Option<&'static str> = None;
    const KIND: ListKind = ListKind::Tools;

    fn cached<'a>(lists: &Lists<'a>) -> Cached<'a, Self> {
        Cached(&lists.0.tools)
    }

    fn read(source: &Source<'_>, lists: &Lists<'_>, items: Vec<Box<RawValue>>) -> Self {
        let tools = Self::new(parse(source.0, items));
        source.0.watch_definitions(lists.0, &tools);
        tools
    }

    fn is_same(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Tool, &Tool)| one.definition().get() == other.definition().get();
        self.items.len() == other.items.len() && self.items.iter().zip(&other.items).all(is_same)
    }
}

/// Reads definitions. One that cannot be used is left out.
pub(super) fn parse(server: &ServerLists, items: Vec<Box<RawValue>>) -> Vec<Tool> {
    let mut tools = Vec::with_capacity(items.len());
    for definition in items {
        if let Err(problem) = limits::check(&definition, &server.config().limits) {
            tracing::warn!(server = %server.spec().name, problem, "a tool is left out");
            continue;
        }
        match Tool::parse(definition) {
            Ok(tool) => tools.push(tool),
            Err(error) => tracing::warn!(server = %server.spec().name, %error, "a tool is left out"),
        }
    }
    tools
}
