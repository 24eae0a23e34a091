//! What definitions have to look like, so that clients can read the list that they are in.
//!
//! The official clients refuse a whole list for one item that does not fit the schema of the protocol. So each item is
//! checked once, when a list is fetched. One with a single meaning is mended; any other is left out and named.
//!
//! The shapes hold for the newest revision of each era. Older ones lack members, which are removed for their clients, and
//! restrict nothing more.

mod fit;
mod json_schema;

use bytes::Bytes;
use portolan_core::OmittedDefinition;
use portolan_wire::object::{self, RawObject};
use serde_json::value::RawValue;

use self::fit::{Fit, fit};
use crate::config::ClientLimits;

/// The number of left out items of one list that are named.
const NAMED: usize = 100;

/// The shape of a value.
#[derive(Debug)]
enum Shape {
    /// A text.
    Text,
    /// A list of texts. One text alone is such a list.
    Texts,
    /// A boolean.
    Flag,
    /// A number without a fraction.
    Whole,
    /// A number from 0 to 1.
    Share,
    /// A date and time (RFC 3339). The schema takes any text, and the TypeScript SDK does not: what is no time says nothing.
    Moment,
    /// A URI.
    Uri,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Any object.
    Record,
    /// An object with these members and any others.
    Object(&'static [Member]),
    /// A list.
    List(&'static Self),
    /// The JSON Schema of a tool's arguments.
    Input,
    /// The JSON Schema of a tool's results.
    Output,
}

/// A member of an object.
#[derive(Debug)]
struct Member {
    name: &'static str,
    shape: Shape,
    is_required: bool,
}

const fn needs(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        is_required: true,
    }
}

const fn has(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        shape,
        is_required: false,
    }
}

const ICON: Shape = Shape::Object(&[
    needs("src", Shape::Text),
    has("mimeType", Shape::Text),
    has("sizes", Shape::Texts),
    has("theme", Shape::OneOf(&["light", "dark"])),
]);

const ANNOTATIONS: Shape = Shape::Object(&[
    has("audience", Shape::List(&Shape::OneOf(&["user", "assistant"]))),
    has("priority", Shape::Share),
    has("lastModified", Shape::Moment),
]);

const TOOL: Shape = Shape::Object(&[
    needs("name", Shape::Text),
    has("title", Shape::Text),
    has("description", Shape::Text),
    needs("inputSchema", Shape::Input),
    has("outputSchema", Shape::Output),
    has(
        "annotations",
        Shape::Object(&[
            has("title", Shape::Text),
            has("readOnlyHint", Shape::Flag),
            has("destructiveHint", Shape::Flag),
            has("idempotentHint", Shape::Flag),
            has("openWorldHint", Shape::Flag),
        ]),
    ),
    has(
        "execution",
        Shape::Object(&[has("taskSupport", Shape::OneOf(&["forbidden", "optional", "required"]))]),
    ),
    has("icons", Shape::List(&ICON)),
    has("_meta", Shape::Record),
]);

const PROMPT: Shape = Shape::Object(&[
    needs("name", Shape::Text),
    has("title", Shape::Text),
    has("description", Shape::Text),
    has(
        "arguments",
        Shape::List(&Shape::Object(&[
            needs("name", Shape::Text),
            has("title", Shape::Text),
            has("description", Shape::Text),
            has("required", Shape::Flag),
        ])),
    ),
    has("icons", Shape::List(&ICON)),
    has("_meta", Shape::Record),
]);

const RESOURCE: Shape = Shape::Object(&[
    needs("uri", Shape::Uri),
    needs("name", Shape::Text),
    has("title", Shape::Text),
    has("description", Shape::Text),
    has("mimeType", Shape::Text),
    has("size", Shape::Whole),
    has("annotations", ANNOTATIONS),
    has("icons", Shape::List(&ICON)),
    has("_meta", Shape::Record),
]);

const TEMPLATE: Shape = Shape::Object(&[
    needs("uriTemplate", Shape::Text),
    needs("name", Shape::Text),
    has("title", Shape::Text),
    has("description", Shape::Text),
    has("mimeType", Shape::Text),
    has("annotations", ANNOTATIONS),
    has("icons", Shape::List(&ICON)),
    has("_meta", Shape::Record),
]);

/// Returns a definition of a tool as revisions before 2026-07-28 have it: schemas of properties are objects. `None` if they are
/// so already.
///
/// ```
/// let definition = br#"{"name":"a","inputSchema":{"type":"object","properties":{"x":true}}}"#;
/// let legacy = portolan_client::legacy_tool_definition(&bytes::Bytes::from_static(definition));
/// assert_eq!(
///     legacy.as_deref(),
///     Some(&br#"{"name":"a","inputSchema":{"type":"object","properties":{"x":{}}}}"#[..])
/// );
/// ```
pub fn legacy_tool_definition(definition: &Bytes) -> Option<Bytes> {
    json_schema::plain(definition)
}

/// A kind of definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// The member of the result that lists them.
    pub(super) list: &'static str,
    /// The member that tells one from another.
    key: &'static str,
    shape: &'static Shape,
}

impl Kind {
    pub(super) const TOOL: Self = Self::new("tools", "name", &TOOL);
    pub(super) const PROMPT: Self = Self::new("prompts", "name", &PROMPT);
    pub(super) const RESOURCE: Self = Self::new("resources", "uri", &RESOURCE);
    pub(super) const TEMPLATE: Self = Self::new("resourceTemplates", "uriTemplate", &TEMPLATE);

    const fn new(list: &'static str, key: &'static str, shape: &'static Shape) -> Self {
        Self { list, key, shape }
    }
}

/// The items of a list that clients can read, and what was left out.
#[derive(Debug)]
pub(super) struct Sorted {
    kind: Kind,
    server: Box<str>,
    /// The number of items so far.
    at: usize,
    left_out: usize,
    /// What was left out, at most [`NAMED`] items.
    pub(super) omitted: Vec<OmittedDefinition>,
}

impl Sorted {
    pub(super) fn new(kind: Kind, server: &str) -> Self {
        Self {
            kind,
            server: server.into(),
            at: 0,
            left_out: 0,
            omitted: Vec::new(),
        }
    }

    /// Reads the next item with `read`, mended where necessary. One that does not fit is recorded.
    pub(super) fn take<T>(
        &mut self,
        item: Box<RawValue>,
        limits: &ClientLimits,
        read: impl FnOnce(Box<RawValue>) -> Result<T, String>,
    ) -> Option<T> {
        self.at += 1;
        let checked = super::limits::check(&item, limits)
            .map_err(String::from)
            .and_then(|()| fitting(self.kind, &item));
        let result = match checked {
            Ok(None) => return self.recorded(None, read(item)),
            Ok(Some(mended)) => read(mended),
            Err(problem) => Err(problem),
        };
        self.recorded(Some(&item), result)
    }

    fn recorded<T>(&mut self, item: Option<&RawValue>, read: Result<T, String>) -> Option<T> {
        let problem = match read {
            Ok(read) => return Some(read),
            Err(problem) => problem,
        };
        let name = item.and_then(|item| name_of(self.kind, item));
        let name = name.unwrap_or_else(|| format!("#{}", self.at));
        let (server, list) = (&*self.server, self.kind.list);
        tracing::warn!(server, list, name, problem, "definition left out");
        self.left_out += 1;
        if self.omitted.len() < NAMED {
            self.omitted.push(OmittedDefinition::new(list, name, problem));
        } else if let Some(last) = self.omitted.last_mut() {
            *last = OmittedDefinition::new(list, "…", format!("{} more are left out", self.left_out + 1 - NAMED));
        }
        None
    }
}

/// Returns an item as it has to be listed: `None` if it is so already.
fn fitting(kind: Kind, item: &RawValue) -> Result<Option<Box<RawValue>>, String> {
    if fit::has_lone_surrogate(item.get().as_bytes()) {
        return Err("has a text that is not Unicode (half of a surrogate pair)".into());
    }
    let definition = Bytes::copy_from_slice(item.get().as_bytes());
    match fit(&definition, kind.shape).map_err(|misfit| misfit.to_string())? {
        Fit::AsIs => Ok(None),
        Fit::Mended(text) => {
            let text = String::from_utf8(text.to_vec()).map_err(|_| "is not UTF-8")?;
            RawValue::from_string(text).map(Some).map_err(|fault| fault.to_string())
        }
    }
}

/// Returns the name of an item that does not fit, if it has one that can be shown.
fn name_of(kind: Kind, item: &RawValue) -> Option<String> {
    let members = RawObject::parse(&Bytes::copy_from_slice(item.get().as_bytes())).ok()?;
    let name = object::text(members.get(kind.key)?)?;
    let is_fit = !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
    is_fit.then(|| name.into_owned())
}

#[cfg(test)]
mod tests;
