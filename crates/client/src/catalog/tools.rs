//! The tools of a server.

use std::collections::HashMap;

use portolan_core::{OmittedDefinition, Tool};
use portolan_wire::method::Method;
use serde_json::value::RawValue;

use super::{
    Listing, ServerLists,
    definition::{Kind, Sorted},
    sealed::{Cached, Lists, Read, Source},
};
use crate::server_notifications::ListKind;

/// The tools of one server, in its order. Of two with one name the first one is used.
#[derive(Debug, Default)]
pub struct Tools {
    items: Vec<Tool>,
    by_name: HashMap<Box<str>, usize>,
    omitted: Vec<OmittedDefinition>,
    /// `true` if a definition differs from all that the server has had before.
    has_news: bool,
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

    /// Returns the tool of this name.
    pub fn get(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name).map(|at| &self.items[*at])
    }

    /// Returns all tools.
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
        let (listed, omitted) = parse(source.0, items);
        let mut tools = Self::new(listed);
        tools.omitted = omitted;
        tools.has_news = source.0.watch_definitions(lists.0, &tools);
        tools
    }

    fn omitted(&self) -> &[OmittedDefinition] {
        &self.omitted
    }

    fn is_same(&self, other: &Self) -> bool {
        !other.has_news
            && self.items.len() == other.items.len()
            && self.items.iter().all(|tool| other.get(tool.name().as_str()).is_some())
    }

    fn is_identical(&self, other: &Self) -> bool {
        let is_equal = |(one, other): (&Tool, &Tool)| one.definition().get() == other.definition().get();
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(is_equal)
            && self.omitted == other.omitted
    }
}

/// Parses definitions. Those that are not valid are left out and named.
pub(super) fn parse(server: &ServerLists, items: Vec<Box<RawValue>>) -> (Vec<Tool>, Vec<OmittedDefinition>) {
    let mut sorted = Sorted::new(Kind::TOOL, server.spec().name.as_str());
    let limits = &server.config().limits;
    let read = |definition| Tool::parse(definition).map_err(|error| error.to_string());
    let tools = items
        .into_iter()
        .filter_map(|item| sorted.take(item, limits, read))
        .collect();
    (tools, sorted.omitted)
}
