//! Codex.

use super::entry::{begin, command, each, milliseconds, some_texts};
use crate::{
    Found,
    draft::{Draft, Reason, is_secret_header},
    model::{ImportedServer, OAuth},
    node::Node,
    placeholder::Syntax,
    string, text_map,
};

pub(super) fn read(root: &Node, found: &mut Found) {
    each(root.get("mcp_servers"), found, read_entry);
}

fn read_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::None);
    let mut known = vec![
        "enabled",
        "required",
        "enabled_tools",
        "disabled_tools",
        "startup_timeout_sec",
        "startup_timeout_ms",
        "tool_timeout_sec",
    ];
    match (entry.get("command"), entry.get("url")) {
        (Some(_), Some(_)) => return Err("both-launches".to_owned()),
        (Some(_), None) => {
            passed_on(&mut draft, entry)?;
            command(&mut draft, entry, "env", Some("cwd"))?;
            known.extend(["command", "args", "env", "env_vars", "cwd"]);
        }
        (None, Some(_)) => {
            if let Some(key) = ["args", "env", "env_vars", "cwd"]
                .into_iter()
                .find(|key| entry.get(key).is_some())
            {
                return Err(format!("wrong-type:{key}"));
            }
            if entry.get("bearer_token").is_some() {
                return Err("wrong-type:bearer_token".to_owned());
            }
            remote(&mut draft, entry)?;
            known.extend([
                "url",
                "bearer_token_env_var",
                "http_headers",
                "env_http_headers",
                "scopes",
                "oauth_resource",
                "oauth",
            ]);
        }
        (None, None) => return Err("no-launch".to_owned()),
    }
    draft.server.enabled = entry.flag("enabled") != Some(false);
    draft.server.tools.only = entry.texts("enabled_tools");
    draft.server.tools.never = some_texts(entry, "disabled_tools");
    draft.server.timeouts_ms.start =
        milliseconds(entry, "startup_timeout_sec", 1000.0).or_else(|| milliseconds(entry, "startup_timeout_ms", 1.0));
    draft.server.timeouts_ms.call = milliseconds(entry, "tool_timeout_sec", 1000.0);
    draft.ignore_others(entry, &known);
    draft.finish()
}

/// Reads the names of variables that are passed on.
fn passed_on(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let Some(list) = entry.get("env_vars") else {
        return Ok(());
    };
    let Node::List(items) = list else {
        return Err("wrong-type:env_vars".to_owned());
    };
    for (at, item) in items.iter().enumerate() {
        let name = item.text().or_else(|| item.text_of("name"));
        let name = name.ok_or_else(|| format!("wrong-type:env_vars.{at}"))?;
        let reference = draft.environment(name, false);
        draft.server.env.insert(name.to_owned(), reference);
    }
    Ok(())
}

fn remote(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    if let Some(variable) = string(entry, "bearer_token_env_var")? {
        let reference = draft.environment(variable, true);
        draft
            .server
            .headers
            .insert("Authorization".to_owned(), format!("Bearer {reference}"));
    }
    for (name, value) in text_map(entry, "http_headers")? {
        draft.header(name, value);
    }
    for (name, variable) in text_map(entry, "env_http_headers")? {
        let reference = draft.environment(variable, is_secret_header(name));
        draft.server.headers.insert(name.to_owned(), reference);
    }
    let client_id = entry
        .get("oauth")
        .and_then(|oauth| oauth.text_of("client_id"))
        .map(ToOwned::to_owned);
    let scopes = some_texts(entry, "scopes");
    let resource = string(entry, "oauth_resource")?.map(ToOwned::to_owned);
    if client_id.is_some() || !scopes.is_empty() || resource.is_some() {
        draft.server.oauth = Some(OAuth {
            client_id,
            scopes,
            resource,
            ..OAuth::default()
        });
    }
    let url = string(entry, "url")?.ok_or("missing:url")?;
    draft.url(url, "streamable-http");
    Ok(())
}
