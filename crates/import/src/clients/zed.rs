//! Zed.

use super::entry::{begin, command, each, milliseconds, remote};
use crate::{Found, draft::OAuthKeys, node::Node, placeholder::Syntax, string};

pub(super) fn read(root: &Node, found: &mut Found) {
    each(root.get("context_servers"), found, |name, entry| {
        let mut draft = begin(name, Syntax::None);
        match (entry.get("command"), entry.get("url")) {
            _ if string(entry, "source")? == Some("extension") => return Err("in-client".to_owned()),
            (Some(old @ Node::Map(_)), _) => {
                draft.warn("old-form");
                let renamed = old.members().iter().map(|(key, value)| {
                    let key = if key == "path" { "command" } else { key };
                    (key.to_owned(), value.clone())
                });
                command(&mut draft, &Node::Map(renamed.collect()), "env", None)?;
            }
            (Some(_), _) => command(&mut draft, entry, "env", None)?,
            (None, Some(_)) => remote(&mut draft, entry, "url", "streamable-http")?,
            (None, None) if entry.get("settings").is_some() => return Err("in-client".to_owned()),
            (None, None) => return Err("no-launch".to_owned()),
        }
        if let Some(oauth @ Node::Map(_)) = entry.get("oauth") {
            let keys = OAuthKeys {
                client_id: "client_id",
                client_secret: "client_secret",
                scopes: "scopes",
                ..OAuthKeys::default()
            };
            draft.oauth(oauth, keys);
        }
        draft.server.enabled = entry.flag("enabled") != Some(false);
        draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1000.0);
        let known = [
            "source", "command", "args", "env", "url", "headers", "oauth", "enabled", "timeout", "settings",
        ];
        draft.ignore_others(entry, &known);
        draft.finish()
    });
}
