//! LibreChat.

use super::entry::{begin, each, milliseconds, remote};
use crate::{
    Found,
    draft::{Draft, OAuthKeys, Reason, is_secret_name},
    model::{ImportedServer, Input, OAuth},
    node::Node,
    placeholder::Syntax,
    string, strings, text_map,
};

pub(super) fn read(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, read_entry);
}

fn read_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::LibreChat);
    for (variable, about) in entry.get("customUserVars").map(Node::members).unwrap_or_default() {
        let text = |key| about.text_of(key).map(ToOwned::to_owned);
        let input = Input {
            name: variable.clone(),
            secret: about.flag("sensitive").unwrap_or_else(|| is_secret_name(variable)),
            required: true,
            source: "user",
            title: text("title"),
            description: text("description"),
            ..Input::default()
        };
        draft.declared.insert(variable.clone(), input);
    }
    let kind = string(entry, "type")?;
    match (kind, entry.get("command"), entry.get("url")) {
        (None | Some("stdio"), Some(_), _) => stdio(&mut draft, entry)?,
        (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
        (None, None, None) => return Err("no-launch".to_owned()),
        _ => {
            let transport = transport(&mut draft, entry, kind)?;
            remote(&mut draft, entry, "url", transport)?;
            api_key(&mut draft, entry)?;
            oauth(&mut draft, entry);
        }
    }
    draft.server.timeouts_ms.start = milliseconds(entry, "initTimeout", 1.0);
    draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1.0);
    draft.server.title = string(entry, "title")?.map(ToOwned::to_owned);
    draft.server.description = string(entry, "description")?.map(ToOwned::to_owned);
    let known = [
        "type",
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "headers",
        "apiKey",
        "oauth",
        "requiresOAuth",
        "customUserVars",
        "timeout",
        "initTimeout",
        "serverInstructions",
        "startup",
        "chatMenu",
        "iconPath",
        "title",
        "description",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}

fn stdio(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let program = string(entry, "command")?.ok_or("missing:command")?;
    let args = strings(entry, "args")?.ok_or("missing:args")?;
    for (name, value) in text_map(entry, "env")? {
        draft.env(name, value);
    }
    let cwd = string(entry, "cwd")?;
    crate::command::start(draft, program, &args, cwd);
    Ok(())
}

/// Reads the key that the administrator or each user gives.
fn api_key(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let Some(key) = entry.get("apiKey") else { return Ok(()) };
    let (header, prefix) = match key.text_of("authorization_type") {
        Some("basic") => ("Authorization", "Basic "),
        Some("custom") => (key.text_of("custom_header").ok_or("missing:apiKey.custom_header")?, ""),
        _ => ("Authorization", "Bearer "),
    };
    let name = draft.header_input_name(header);
    let value = match (key.text_of("source"), key.text_of("key")) {
        (Some("user"), _) | (_, None) => draft.input(Input {
            name,
            secret: true,
            required: true,
            source: "user",
            ..Input::default()
        }),
        (_, Some(text)) => {
            let filled = draft.fill(text, true);
            if filled.contains("<<") {
                filled
            } else {
                draft.literal(&name, &filled)
            }
        }
    };
    draft
        .server
        .headers
        .insert(header.to_owned(), format!("{prefix}{value}"));
    Ok(())
}

fn oauth(draft: &mut Draft, entry: &Node) {
    if let Some(oauth @ Node::Map(_)) = entry.get("oauth") {
        let keys = OAuthKeys {
            client_id: "client_id",
            client_secret: "client_secret",
            scopes: "scope",
            authorization_url: Some("authorization_url"),
            token_url: Some("token_url"),
            ..OAuthKeys::default()
        };
        draft.oauth(oauth, keys);
    } else if entry.flag("requiresOAuth") == Some(true) {
        draft.server.oauth = Some(OAuth::default());
    }
}

/// Returns the transport of a URL.
fn transport(draft: &mut Draft, entry: &Node, kind: Option<&str>) -> Result<&'static str, Reason> {
    let url = string(entry, "url")?.ok_or("missing:url")?;
    Ok(match kind {
        None if url.starts_with("ws") => return Err("unsupported-transport".to_owned()),
        None => {
            draft.warn("transport-guessed");
            "sse"
        }
        Some("streamable-http" | "http") => "streamable-http",
        Some("sse") => "sse",
        Some(_) => return Err("unsupported-transport".to_owned()),
    })
}
