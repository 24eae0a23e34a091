//! GitHub Copilot CLI, and the setting of its cloud agent.

use super::launch::{HTTP, Kind, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::{Draft, Place};
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::shell;
use crate::{Error, OAuth, Reason, TransportKind};

const TYPES: &[(&str, Kind)] = &[
    ("local", STDIO),
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
    let scan = shell(true);
    Rules::new(TYPES, Untyped::Guessed(TransportKind::StreamableHttp), &scan).read(&mut draft, &mut fields)?;
    draft.server.tools.only = fields
        .texts("tools")?
        .filter(|tools| tools.iter().all(|tool| tool != "*"));
    draft.server.timeouts.call = fields.time("timeout", 1.0)?;
    if let Some(id) = fields.text("oauthClientId")? {
        let client_id = Some(draft.expand(id, Place::Plain, &scan)?);
        draft.server.oauth = Some(OAuth {
            client_id,
            ..OAuth::default()
        });
    }
    draft.ignore(fields.unread());
    Ok(draft)
}
