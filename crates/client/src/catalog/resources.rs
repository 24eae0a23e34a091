//! The resources and resource templates of a server.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_core::OmittedDefinition;
use portolan_wire::{method::Method, object::RawObject};
use serde_json::value::RawValue;

use super::{
    Listing, ServerLists,
    definition::{Kind, Sorted},
    digests, limits,
    sealed::{Cached, Lists, Read, Source},
    template::Template,
};
use crate::server_notifications::ListKind;

/// The longest URI in bytes.
const URI_BYTES: usize = 4096;
/// The number of templates of one server that are matched. Each may be tried to find the server of a resource.
const TEMPLATES: usize = 1000;

/// The resources of one server: URIs and definitions, in its order.
#[derive(Debug, Default)]
pub struct Resources {
    items: Vec<(Box<str>, Bytes)>,
    by_uri: HashMap<Box<str>, usize>,
    omitted: Vec<OmittedDefinition>,
}

/// The resource templates of one server, in its order.
#[derive(Debug, Default)]
pub struct ResourceTemplates {
    items: Vec<(Box<str>, Bytes)>,
    read: Vec<Template>,
    omitted: Vec<OmittedDefinition>,
}

impl Resources {
    /// Returns `true` if this URI is listed.
    pub fn contains(&self, uri: &str) -> bool {
        self.by_uri.contains_key(uri)
    }

    /// Returns the URIs with their definitions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.items.iter().map(|(uri, definition)| (&**uri, definition))
    }
}

impl ResourceTemplates {
    /// Returns `true` if a template matches this URI.
    pub fn matches(&self, uri: &str) -> bool {
        self.read.iter().any(|template| template.matches(uri))
    }

    /// Returns `true` if this template is listed.
    pub fn contains(&self, template: &str) -> bool {
        self.items.iter().any(|(text, _)| **text == *template)
    }

    /// Returns the templates with their definitions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.items.iter().map(|(text, definition)| (&**text, definition))
    }
}

impl Listing for Resources {
    const METHOD: Method = Method::ResourcesList;
    const MEMBER: &'static str = "resources";
}

impl Read for Resources {
    const CAPABILITY: Option<&'static str> = Some("resources");
    const KIND: ListKind = ListKind::Resources;

    fn cached<'a>(lists: &Lists<'a>) -> Cached<'a, Self> {
        Cached(&lists.0.resources)
    }

    fn read(source: &Source<'_>, _: &Lists<'_>, items: Vec<Box<RawValue>>) -> Self {
        let mut resources = Self::default();
        let (read, omitted) = read(source.0, items, Kind::RESOURCE, "uri");
        resources.omitted = omitted;
        for (uri, definition) in read {
            // Of two with one URI the first one is used.
            if !resources.by_uri.contains_key(&uri) {
                resources.by_uri.insert(uri.clone(), resources.items.len());
                resources.items.push((uri, definition));
            }
        }
        resources
    }

    fn omitted(&self) -> &[OmittedDefinition] {
        &self.omitted
    }

    fn is_same(&self, other: &Self) -> bool {
        is_same(&self.items, &other.items)
    }

    fn is_identical(&self, other: &Self) -> bool {
        (&self.items, &self.omitted) == (&other.items, &other.omitted)
    }
}

impl Listing for ResourceTemplates {
    const METHOD: Method = Method::ResourceTemplatesList;
    const MEMBER: &'static str = "resourceTemplates";
}

impl Read for ResourceTemplates {
    const CAPABILITY: Option<&'static str> = Some("resources");
    const KIND: ListKind = ListKind::Resources;

    fn cached<'a>(lists: &Lists<'a>) -> Cached<'a, Self> {
        Cached(&lists.0.templates)
    }

    fn read(source: &Source<'_>, _: &Lists<'_>, items: Vec<Box<RawValue>>) -> Self {
        let mut templates = Self::default();
        let (read, omitted) = read(source.0, items, Kind::TEMPLATE, "uriTemplate");
        templates.omitted = omitted;
        for (text, definition) in read {
            if templates.contains(&text) {
                continue;
            }
            if templates.items.len() == TEMPLATES {
                tracing::warn!(server = %source.0.spec().name, most = TEMPLATES, "templates truncated");
                break;
            }
            // A template that cannot be matched is listed nevertheless.
            templates.read.extend(Template::parse(&text));
            templates.items.push((text, definition));
        }
        templates
    }

    fn omitted(&self) -> &[OmittedDefinition] {
        &self.omitted
    }

    fn is_same(&self, other: &Self) -> bool {
        is_same(&self.items, &other.items)
    }

    fn is_identical(&self, other: &Self) -> bool {
        (&self.items, &self.omitted) == (&other.items, &other.omitted)
    }
}

/// Reads items under their key. Those that are not valid are left out and named.
fn read(
    server: &ServerLists,
    items: Vec<Box<RawValue>>,
    kind: Kind,
    key: &'static str,
) -> (Vec<(Box<str>, Bytes)>, Vec<OmittedDefinition>) {
    let mut sorted = Sorted::new(kind, server.spec().name.as_str());
    let read = |item: Box<RawValue>| {
        let definition = Bytes::copy_from_slice(item.get().as_bytes());
        let members = RawObject::parse(&definition).map_err(|fault| fault.to_string())?;
        let uri = limits::name_in(&members, key, URI_BYTES).ok_or("its URI is not valid")?;
        Ok((uri, definition))
    };
    let limits = &server.config().limits;
    let all = items
        .into_iter()
        .filter_map(|item| sorted.take(item, limits, read))
        .collect();
    (all, sorted.omitted)
}

/// Returns `true` if two lists are the same but for the order of what is in their definitions.
fn is_same(one: &[(Box<str>, Bytes)], other: &[(Box<str>, Bytes)]) -> bool {
    let mut pairs = one.iter().zip(other);
    one.len() == other.len()
        && pairs.all(|((uri, one), (other_uri, other))| uri == other_uri && digests::is_reordered(one, other))
}
