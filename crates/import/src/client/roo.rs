//! Roo Code.

use super::cursor::client_variables;
use super::launch::{HTTP, Kind, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::editor;
use crate::{Error, Reason};

const TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("streamable-http", HTTP), ("sse", SSE)];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("mcpServers"), entry).map(drop)
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    if fields.has("command") && fields.has("url") {
        return Err(Reason::BothLaunches);
    }
    let scan = editor(&["workspaceFolder"]);
    Rules::new(TYPES, Untyped::Refused, &scan).read(&mut draft, &mut fields)?;
    client_variables(&mut draft);
    draft.server.enabled = !fields.bool("disabled")?.unwrap_or(false);
    draft.server.tools.unasked = fields.texts("alwaysAllow")?.unwrap_or_default();
    draft.server.tools.never = fields.texts("disabledTools")?.unwrap_or_default();
    let timeout = fields.time("timeout", 1_000.0)?;
    if timeout.is_some_and(|timeout| !(1_000..=3_600_000).contains(&timeout)) {
        return Err(Reason::WrongType("timeout".into()));
    }
    draft.server.timeouts.call = timeout;
    draft.ignore(fields.unread());
    Ok(draft)
}
