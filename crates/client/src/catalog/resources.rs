//! The resources of a server, and the templates of more.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_wire::{method::Method, object::RawObject};
use serde_json::value::RawValue;

use super::{
    Listing, ServerLists, limits,
    sealed::{Cached, Lists, Read, Source},
    template::Template,
};
use crate::server_notifications::ListKind;

/// The longest URI that is taken from a list.
const URI_BYTES: usize = 4096;
/// ResourceTemplates of one server that are taken. Each may have to be looked at to find whose a resource is.
const TEMPLATES: usize = 1000;

/// The resources of one server: URI and definition, in its order.
#[derive(Debug, Default)]
pub struct Resources {
    items: Vec<(Box<str>, Bytes)>,
    by_uri: HashMap<Box<str>, usize>,
}

/// The resource templates of one server, in its order.
#[derive(Debug, Default)]
pub struct ResourceTemplates {
    items: Vec<(Box<str>, Bytes)>,
    read: Vec<Template>,
}

impl Resources {
    /// Whether this URI is on the list.
    pub fn contains(&self, uri: &str) -> bool {
        self.by_uri.contains_key(uri)
    }

    /// URIs with their definitions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.items.iter().map(|(uri, definition)| (&**uri, definition))
    }
}

impl ResourceTemplates {
    /// Whether a template stands for this URI.
    pub fn matches(&self, uri: &str) -> bool {
        self.read.iter().any(|template| template.matches(uri))
    }

    /// Whether this very template is on the list.
    pub fn contains(&self, template: &str) -> bool {
        self.items.iter().any(|(text, _)| **text == *template)
    }

    /// ResourceTemplates with their definitions.
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
        for (uri, definition) in read(source.0, &items, "uri") {
            // Of two with one URI the first counts.
            if !resources.by_uri.contains_key(&uri) {
                resources.by_uri.insert(uri.clone(), resources.items.len());
                resources.items.push((uri, definition));
            }
        }
        resources
    }

    fn is_same(&self, other: &Self) -> bool {
        self.items == other.items
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
        for (text, definition) in read(source.0, &items, "uriTemplate") {
            if templates.contains(&text) {
                continue;
            }
            if templates.items.len() == TEMPLATES {
                tracing::warn!(server = %source.0.spec().name, most = TEMPLATES, "a server has more templates than are taken");
                break;
            }
            // One that cannot be matched is listed all the same.
            templates.read.extend(Template::parse(&text));
            templates.items.push((text, definition));
        }
        templates
    }

    fn is_same(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

fn read<'a>(
    server: &'a ServerLists,
    items: &'a [Box<RawValue>],
    key: &'static str,
) -> impl Iterator<Item = (Box<str>, Bytes)> + 'a {
    items.iter().filter_map(move |item| {
        let read = limits::check(item, &server.config().limits).and_then(|()| {
            let definition = Bytes::copy_from_slice(item.get().as_bytes());
            let members = RawObject::parse(&definition).map_err(|_| "it is no object")?;
            let uri = limits::name_in(&members, key, URI_BYTES).ok_or("its URI cannot be used")?;
            Ok((uri, definition))
        });
        if let Err(problem) = &read {
            tracing::warn!(server = %server.spec().name, problem, "a resource is left out");
        }
        read.ok()
    })
}
