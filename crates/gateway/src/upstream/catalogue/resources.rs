//! The resources of a server, and the templates of more.

use std::collections::HashMap;

use bytes::Bytes;
use portolan_wire::{
    method::Method,
    object::{self, RawObject},
};
use serde_json::value::RawValue;

use super::{
    super::{ListKind, UpstreamServer},
    Cached, Catalogue, Listing,
    template::Template,
};
use crate::config::GatewayLimits;

/// The longest URI that is taken from a list.
const URI_BYTES: usize = 4096;
/// Templates of one server that are taken. Each may have to be looked at to find whose a resource is.
const TEMPLATES: usize = 1000;

/// The resources of one server: URI and definition, in its order.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    items: Vec<(Box<str>, Bytes)>,
    by_uri: HashMap<Box<str>, usize>,
}

/// The resource templates of one server, in its order.
#[derive(Debug, Default)]
pub(crate) struct Templates {
    items: Vec<(Box<str>, Bytes)>,
    read: Vec<Template>,
}

impl Resources {
    /// Whether this URI is on the list.
    pub(crate) fn contains(&self, uri: &str) -> bool {
        self.by_uri.contains_key(uri)
    }

    /// URIs with their definitions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.items.iter().map(|(uri, definition)| (&**uri, definition))
    }
}

impl Templates {
    /// Whether a template stands for this URI.
    pub(crate) fn matches(&self, uri: &str) -> bool {
        self.read.iter().any(|template| template.matches(uri))
    }

    /// Whether this very template is on the list.
    pub(crate) fn contains(&self, template: &str) -> bool {
        self.items.iter().any(|(text, _)| **text == *template)
    }

    /// Templates with their definitions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.items.iter().map(|(text, definition)| (&**text, definition))
    }
}

impl Listing for Resources {
    const METHOD: Method = Method::ResourcesList;
    const MEMBER: &'static str = "resources";
    const CAPABILITY: Option<&'static str> = Some("resources");

    const LIST: ListKind = ListKind::Resources;

    fn cached(catalogue: &Catalogue) -> &Cached<Self> {
        &catalogue.resources
    }

    fn read(link: &UpstreamServer, items: Vec<Box<RawValue>>) -> Self {
        let mut resources = Self::default();
        for (uri, definition) in read(link, &items, "uri") {
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

impl Listing for Templates {
    const METHOD: Method = Method::ResourceTemplatesList;
    const MEMBER: &'static str = "resourceTemplates";
    const CAPABILITY: Option<&'static str> = Some("resources");

    const LIST: ListKind = ListKind::Resources;

    fn cached(catalogue: &Catalogue) -> &Cached<Self> {
        &catalogue.templates
    }

    fn read(link: &UpstreamServer, items: Vec<Box<RawValue>>) -> Self {
        let mut templates = Self::default();
        for (text, definition) in read(link, &items, "uriTemplate") {
            if templates.contains(&text) {
                continue;
            }
            if templates.items.len() == TEMPLATES {
                tracing::warn!(server = %link.server.name, most = TEMPLATES, "a server has more templates than are taken");
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
    link: &'a UpstreamServer,
    items: &'a [Box<RawValue>],
    key: &'static str,
) -> impl Iterator<Item = (Box<str>, Bytes)> + 'a {
    items.iter().filter_map(move |item| {
        let read = fits(item, &link.config().limits).and_then(|()| {
            let definition = Bytes::copy_from_slice(item.get().as_bytes());
            let members = RawObject::parse(&definition).map_err(|_| "it is no object")?;
            let uri = name_in(&members, key, URI_BYTES).ok_or("its URI cannot be used")?;
            Ok((uri, definition))
        });
        if let Err(problem) = &read {
            tracing::warn!(server = %link.server.name, problem, "a resource is left out");
        }
        read.ok()
    })
}

/// A name in a definition: text without control characters.
pub(super) fn name_in(members: &RawObject, key: &str, most: usize) -> Option<Box<str>> {
    let text = members.get(key).and_then(object::text)?;
    (!text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)).then(|| (*text).into())
}

/// Whether a definition keeps to the limits.
pub(super) fn fits(definition: &RawValue, limits: &GatewayLimits) -> Result<(), &'static str> {
    if definition.get().len() > limits.definition_bytes {
        return Err("it is larger than is taken");
    }
    if depth(definition.get()) > limits.schema_depth {
        return Err("it is nested deeper than is taken");
    }
    Ok(())
}

/// How deep a JSON text nests.
fn depth(text: &str) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_minds_strings() {
        assert_eq!(depth(r#"{"a":[[1],{}]}"#), 3);
        assert_eq!(depth(r#"{"a{[":"[[[\"[[","b":[]}"#), 2);
        assert_eq!(depth("1"), 0);
    }
}
