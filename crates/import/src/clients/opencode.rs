//! opencode.

use super::entry::{begin, each, milliseconds, remote};
use crate::{
    Found,
    draft::{Draft, OAuthKeys, Reason},
    model::ImportedServer,
    node::Node,
    placeholder::Syntax,
    string, strings, text_map,
};

pub(super) fn read(root: &Node, found: &mut Found) {
    let mcp = root.get("mcp");
    // The second form has the servers one level deeper.
    let deeper = mcp.and_then(|mcp| mcp.get("servers")).filter(|servers| {
        servers.is_map() && servers.get("type").and_then(Node::text).is_none() && servers.get("command").is_none()
    });
    each(deeper.or(mcp), found, read_entry);
}

fn read_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Opencode);
    match string(entry, "type")? {
        Some("local") => local(&mut draft, entry)?,
        Some("remote") => {
            remote(&mut draft, entry, "url", "either")?;
            if let Some(oauth @ Node::Map(_)) = entry.get("oauth") {
                let snake = oauth.get("client_id").is_some() || oauth.get("client_secret").is_some();
                let keys = OAuthKeys {
                    client_id: if snake { "client_id" } else { "clientId" },
                    client_secret: if snake { "client_secret" } else { "clientSecret" },
                    scopes: "scope",
                    ..OAuthKeys::default()
                };
                draft.oauth(oauth, keys);
            }
        }
        Some(_) => return Err("unsupported-transport".to_owned()),
        None if entry.get("command").is_some() || entry.get("url").is_some() => return Err("type-missing".to_owned()),
        None => return Err("no-launch".to_owned()),
    }
    draft.server.enabled = entry.flag("enabled") != Some(false) && entry.flag("disabled") != Some(true);
    match entry.get("timeout") {
        Some(both @ Node::Map(_)) => {
            draft.server.timeouts_ms.start = milliseconds(both, "startup", 1.0);
            draft.server.timeouts_ms.call = milliseconds(both, "request", 1.0);
        }
        _ => draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1.0),
    }
    let known = [
        "type",
        "command",
        "environment",
        "cwd",
        "url",
        "headers",
        "oauth",
        "enabled",
        "disabled",
        "timeout",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}

fn local(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let mut words = strings(entry, "command")?.ok_or("missing:command")?;
    if words.is_empty() {
        return Err("missing:command".to_owned());
    }
    let program = words.remove(0);
    for (name, value) in text_map(entry, "environment")? {
        draft.env(name, value);
    }
    let cwd = string(entry, "cwd")?;
    crate::command::start(draft, &program, &words, cwd);
    Ok(())
}
