//! Windsurf.

use super::launch::{HTTP, Kind, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::editor;
use crate::{Error, Reason, TransportKind};

const TYPES: &[(&str, Kind)] = &[
    ("stdio", STDIO),
    ("http", HTTP),
    ("streamable-http", HTTP),
    ("sse", SSE),
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("mcpServers"), entry).map(drop)
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let scan = editor(&[]);
    let rules = Rules {
        url_keys: &["serverUrl", "url"],
        ..Rules::new(TYPES, Untyped::Guessed(TransportKind::Either), &scan)
    };
    rules.read(&mut draft, &mut fields)?;
    draft.server.enabled = !fields.bool("disabled")?.unwrap_or(false);
    draft.server.tools.never = fields.texts("disabledTools")?.unwrap_or_default();
    draft.ignore(fields.unread());
    Ok(draft)
}
