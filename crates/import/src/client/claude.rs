//! Claude Code and Claude Desktop, and any `mcpServers` JSON of no other kind.

use super::launch::{HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::shell;
use crate::{Error, Reason, WarningKind};

const TYPES: &[(&str, Kind)] = &[
    ("stdio", STDIO),
    ("http", HTTP),
    ("streamable-http", HTTP),
    ("sse", SSE),
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let projects = root.get("projects").and_then(Node::map).unwrap_or_default();
    let servers = root.get("mcpServers");
    if servers.is_none() && projects.is_empty() && is_unwrapped(root) {
        reader.warn(WarningKind::UnwrappedMap, root.line);
        return add_unwrapped(reader, root, entry);
    }
    reader.add_map(servers, entry)?;
    for (folder, project) in projects {
        let scoped = |name: &str, node: &Node| {
            let mut draft = entry(name, node)?;
            draft.server.scope = Some(folder.clone());
            Ok(draft)
        };
        reader.add_map(project.get("mcpServers"), scoped)?;
    }
    Ok(())
}

/// Adds the servers of a file that is the map of servers itself. Members that are no maps, such as `$schema`, are none.
pub(super) fn add_unwrapped(
    reader: &mut Reader,
    root: &Node,
    entry: impl Fn(&str, &Node) -> Result<Draft, Reason>,
) -> Result<(), Error> {
    for (name, node) in root
        .map()
        .unwrap_or_default()
        .iter()
        .filter(|(_, node)| node.map().is_some())
    {
        reader.add(name, node.line, entry(name, node))?;
    }
    Ok(())
}

/// Returns whether the file is the map of servers itself: a member has a program or a URL.
pub(super) fn is_unwrapped(root: &Node) -> bool {
    let members = root.map().unwrap_or_default();
    members.iter().any(|(_, node)| {
        ["command", "url", "type"]
            .iter()
            .any(|key| node.get(key).is_some_and(|value| value.text().is_some()))
    })
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let scan = shell(false);
    let rules = Rules {
        cwd: false,
        program_wins: true,
        ..Rules::new(TYPES, Untyped::Refused, &scan)
    };
    rules.read(&mut draft, &mut fields)?;
    draft.server.timeouts.call = fields.time("timeout", 1.0)?;
    if let Some(mut oauth) = fields.fields("oauth")? {
        let keys = OAuthKeys {
            id: "clientId",
            secret: "",
            scopes: "scopes",
            authorization_url: "",
            token_url: "",
            audience: "",
            own: &["callbackPort"],
        };
        keys.read(&mut draft, &mut oauth, &scan)?;
    }
    draft.ignore(fields.unread());
    Ok(draft)
}
