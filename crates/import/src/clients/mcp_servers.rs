//! Claude and Copilot: a map `mcpServers`.

use super::entry::{begin, command, each, milliseconds, remote};
use crate::{
    Found,
    draft::{OAuthKeys, Reason},
    model::{ImportedServer, OAuth},
    node::Node,
    placeholder::Syntax,
    string,
};

/// Claude Code and Claude Desktop.
pub(super) fn claude(root: &Node, found: &mut Found) {
    let wrapped = root.get("mcpServers");
    if wrapped.is_none() && root.get("projects").is_none() && is_unwrapped(root) {
        found.warn("unwrapped-map");
        return each(Some(root), found, |name, entry| claude_entry(name, entry, None));
    }
    each(wrapped, found, |name, entry| claude_entry(name, entry, None));
    for (folder, project) in root.get("projects").map(Node::members).unwrap_or_default() {
        each(project.get("mcpServers"), found, |name, entry| {
            claude_entry(name, entry, Some(folder))
        });
    }
}

/// Returns whether the file is the map of servers itself.
pub(super) fn is_unwrapped(root: &Node) -> bool {
    let is_entry = |entry: &Node| ["command", "url", "type"].iter().any(|key| entry.get(key).is_some());
    root.members().iter().any(|(_, entry)| is_entry(entry))
}

fn claude_entry(name: &str, entry: &Node, scope: Option<&str>) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Shell { bare: false });
    let mut known = vec!["type", "command", "args", "env", "url", "headers", "timeout", "oauth"];
    match (string(entry, "type")?, entry.get("command"), entry.get("url")) {
        (None | Some("stdio"), Some(_), _) => {
            command(&mut draft, entry, "env", None)?;
            known.retain(|key| !matches!(*key, "url" | "headers" | "oauth"));
        }
        (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
        (None, None, Some(_)) => return Err("type-missing".to_owned()),
        (None, None, None) => return Err("no-launch".to_owned()),
        (Some(kind), ..) => {
            let transport = match kind {
                "http" | "streamable-http" => "streamable-http",
                "sse" => "sse",
                _ => return Err("unsupported-transport".to_owned()),
            };
            remote(&mut draft, entry, "url", transport)?;
            known.retain(|key| !matches!(*key, "command" | "args" | "env"));
            if let Some(oauth @ Node::Map(_)) = entry.get("oauth") {
                draft.oauth(oauth, CAMEL);
            }
        }
    }
    draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1.0);
    draft.server.scope = scope.map(ToOwned::to_owned);
    draft.ignore_others(entry, &known);
    draft.finish()
}

const CAMEL: OAuthKeys = OAuthKeys {
    client_id: "clientId",
    client_secret: "clientSecret",
    scopes: "scopes",
    resource: None,
    authorization_url: None,
    token_url: None,
};

/// Copilot.
pub(super) fn copilot(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, copilot_entry);
}

fn copilot_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Shell { bare: true });
    let kind = string(entry, "type")?;
    match (kind, entry.get("command"), entry.get("url")) {
        (None | Some("local" | "stdio"), Some(_), _) => command(&mut draft, entry, "env", Some("cwd"))?,
        (Some("local" | "stdio"), None, _) => return Err("missing:command".to_owned()),
        (None, None, None) => return Err("no-launch".to_owned()),
        _ => {
            let transport = match kind {
                None => {
                    draft.warn("transport-guessed");
                    "streamable-http"
                }
                Some("http" | "streamable-http") => "streamable-http",
                Some("sse") => "sse",
                Some(_) => return Err("unsupported-transport".to_owned()),
            };
            remote(&mut draft, entry, "url", transport)?;
        }
    }
    if let Some(id) = string(entry, "oauthClientId")? {
        let client_id = Some(draft.fill(id, false));
        draft.server.oauth = Some(OAuth {
            client_id,
            ..OAuth::default()
        });
    }
    draft.server.tools.only = entry
        .texts("tools")
        .filter(|tools| !tools.iter().any(|tool| tool == "*"));
    draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1.0);
    let known = [
        "type",
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "headers",
        "tools",
        "timeout",
        "oauthClientId",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}
