//! Continue.

use super::entry::{begin, command, milliseconds};
use crate::{Found, draft::Reason, model::ImportedServer, node::Node, placeholder::Syntax, string, text_map};

pub(super) fn read(root: &Node, file: &str, found: &mut Found) {
    match root.get("mcpServers") {
        Some(Node::List(items)) => {
            for (at, entry) in items.iter().enumerate() {
                if let Some(block) = entry.text_of("uses") {
                    found.add(block, Err("in-client".to_owned()));
                    continue;
                }
                match entry.text_of("name") {
                    Some(name) => found.add(name, read_entry(name, entry, false)),
                    None => found.add(&format!("#{at}"), Err("missing:name".to_owned())),
                }
            }
        }
        // A drop-in of JSON.
        Some(Node::Map(members)) => {
            for (name, entry) in members {
                found.add(name, read_entry(name, entry, true));
            }
        }
        Some(_) => found.add("mcpServers", Err("wrong-type:mcpServers".to_owned())),
        None if root.get("command").is_some() || root.get("url").is_some() => {
            let name = root.text_of("name").unwrap_or(file);
            found.add(name, read_entry(name, root, true));
        }
        None => {}
    }
}

fn read_entry(name: &str, entry: &Node, drop_in: bool) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Continue);
    let kind = string(entry, "type")?;
    match (kind, entry.get("command"), entry.get("url")) {
        (None | Some("stdio"), Some(_), _) => command(&mut draft, entry, "env", Some("cwd"))?,
        (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
        (None, None, None) => return Err("no-launch".to_owned()),
        _ => {
            let transport = match kind {
                None => {
                    draft.warn("transport-guessed");
                    "either"
                }
                Some("http") if drop_in => "streamable-http",
                Some("streamable-http") if !drop_in => "streamable-http",
                Some("sse") => "sse",
                Some(_) => return Err("unsupported-transport".to_owned()),
            };
            if let Some(key) = string(entry, "apiKey")? {
                draft.header("Authorization", &format!("Bearer {key}"));
            }
            let options = entry.get("requestOptions");
            for (name, value) in options
                .map(|options| text_map(options, "headers"))
                .transpose()?
                .unwrap_or_default()
            {
                draft.header(name, value);
            }
            for (key, _) in options.map(Node::members).unwrap_or_default() {
                if key != "headers" {
                    draft.warn(format!("ignored-key:requestOptions.{key}"));
                }
            }
            let url = string(entry, "url")?.ok_or("missing:url")?;
            draft.url(url, transport);
        }
    }
    draft.server.timeouts_ms.start = milliseconds(entry, "connectionTimeout", 1.0);
    let known = [
        "name",
        "type",
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "apiKey",
        "requestOptions",
        "connectionTimeout",
        "faviconUrl",
        "sourceFile",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}
