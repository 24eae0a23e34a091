//! Editors and their extensions: VS Code, Cursor, Windsurf, Cline, Roo.

use super::{
    entry::{begin, command, each, milliseconds, remote, some_texts},
    mcp_servers::is_unwrapped,
};
use crate::{
    Found,
    draft::{Draft, OAuthKeys, Reason, is_secret_name},
    model::{ImportedServer, Input},
    node::Node,
    placeholder::Syntax,
    string, strings,
};

const EDITOR: Syntax = Syntax::Editor { inputs: false };

/// VS Code.
pub(super) fn vscode(root: &Node, found: &mut Found) {
    let old = root
        .get("mcp")
        .filter(|mcp| mcp.is_map())
        .or_else(|| root.get("mcp.servers").map(|_| root));
    let (holder, servers) = match (root.get("servers"), old) {
        (Some(servers), _) => (root, Some(servers)),
        (None, Some(old)) => {
            found.warn("old-form");
            (old, old.get("servers").or_else(|| old.get("mcp.servers")))
        }
        // It reads the files of Claude Code as well, with or without their wrapper.
        (None, None) => {
            let wrapped = root.get("mcpServers");
            let servers = match wrapped {
                None if is_unwrapped(root) => {
                    found.warn("unwrapped-map");
                    Some(root)
                }
                wrapped => wrapped,
            };
            return each(servers, found, |name, entry| {
                vscode_entry(Draft::new(name, Syntax::Shell { bare: true }), entry)
            });
        }
    };
    let inputs = holder.get("inputs").map(Node::items).unwrap_or_default();
    each(servers, found, |name, entry| {
        let mut draft = begin(name, Syntax::Editor { inputs: true });
        draft.declared = inputs
            .iter()
            .filter_map(prompt)
            .map(|input| (input.name.clone(), input))
            .collect();
        vscode_entry(draft, entry)
    });
}

/// Reads an input that the editor asks for.
fn prompt(input: &Node) -> Option<Input> {
    let name = input.text_of("id")?.to_owned();
    let default = input.get("default").map(Node::to_json);
    let options = input.get("options").map(Node::items).unwrap_or_default();
    let choices: Vec<_> = options
        .iter()
        .map(|option| option.get("value").unwrap_or(option).to_json())
        .collect();
    Some(Input {
        secret: input.flag("password").unwrap_or_else(|| is_secret_name(&name)),
        required: default.is_none(),
        source: "prompt",
        default,
        choices: (!choices.is_empty()).then_some(choices.into()),
        description: input.text_of("description").map(ToOwned::to_owned),
        name,
        ..Input::default()
    })
}

fn vscode_entry(mut draft: Draft, entry: &Node) -> Result<ImportedServer, Reason> {
    let kind = string(entry, "type")?;
    match (kind, entry.get("command"), entry.get("url")) {
        (None | Some("stdio"), Some(_), _) => vscode_command(&mut draft, entry)?,
        (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
        (None, None, None) => return Err("no-launch".to_owned()),
        _ => {
            let transport = transport(&mut draft, kind, &["http"])?;
            remote(&mut draft, entry, "url", transport)?;
            if let Some(oauth @ Node::Map(_)) = entry.get("oauth") {
                draft.oauth(
                    oauth,
                    OAuthKeys {
                        client_id: "clientId",
                        client_secret: "clientSecret",
                        scopes: "scopes",
                        ..OAuthKeys::default()
                    },
                );
            }
        }
    }
    if entry.get("envFile").is_some() {
        draft.warn("env-file");
    }
    let known = [
        "type", "command", "args", "env", "envFile", "cwd", "url", "headers", "oauth", "gallery", "version",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}

/// Here numbers are texts, and null takes a variable away.
fn vscode_command(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let program = string(entry, "command")?.ok_or("missing:command")?;
    let args = strings(entry, "args")?.unwrap_or_default();
    match entry.get("env") {
        None => {}
        Some(Node::Map(members)) => {
            for (name, value) in members {
                match value {
                    Node::Text(text) => draft.env(name, text),
                    Node::Number(number) => draft.env(name, &number.to_string()),
                    Node::Null => draft.server.env_unset.push(name.clone()),
                    _ => return Err(format!("wrong-type:env.{name}")),
                }
            }
        }
        Some(_) => return Err("wrong-type:env".to_owned()),
    }
    let cwd = string(entry, "cwd")?;
    crate::command::start(draft, program, &args, cwd);
    Ok(())
}

/// Returns the transport of a URL; without a type, both are tried.
fn transport(draft: &mut Draft, kind: Option<&str>, streamable: &[&str]) -> Result<&'static str, Reason> {
    match kind {
        None => {
            draft.warn("transport-guessed");
            Ok("either")
        }
        Some(kind) if streamable.contains(&kind) => Ok("streamable-http"),
        Some("sse") => Ok("sse"),
        Some(_) => Err("unsupported-transport".to_owned()),
    }
}

const ANY_STREAMABLE: &[&str] = &["http", "streamable-http", "streamableHttp", "streamable_http"];

/// Cursor.
pub(super) fn cursor(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, |name, entry| {
        let mut draft = begin(name, EDITOR);
        let kind = string(entry, "type")?;
        match (entry.get("command"), entry.get("url")) {
            (Some(_), None) => command(&mut draft, entry, "env", Some("cwd"))?,
            (Some(_), Some(_)) if matches!(kind, None | Some("stdio")) => {
                command(&mut draft, entry, "env", Some("cwd"))?
            }
            (_, Some(_)) => {
                let transport = transport(&mut draft, kind, ANY_STREAMABLE)?;
                remote(&mut draft, entry, "url", transport)?;
                if let Some(auth @ Node::Map(_)) = entry.get("auth") {
                    let keys = OAuthKeys {
                        client_id: "CLIENT_ID",
                        client_secret: "CLIENT_SECRET",
                        scopes: "scopes",
                        ..OAuthKeys::default()
                    };
                    draft.oauth(auth, keys);
                }
            }
            (None, None) => return Err(without_launch(kind)),
        }
        if entry.get("envFile").is_some() {
            draft.warn("env-file");
        }
        let known = [
            "type", "command", "args", "env", "envFile", "cwd", "url", "headers", "auth",
        ];
        draft.ignore_others(entry, &known);
        draft.finish()
    });
}

fn without_launch(kind: Option<&str>) -> Reason {
    match kind {
        None => "no-launch".to_owned(),
        Some("stdio") => "missing:command".to_owned(),
        Some(_) => "missing:url".to_owned(),
    }
}

/// Windsurf.
pub(super) fn windsurf(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, |name, entry| {
        let mut draft = begin(name, EDITOR);
        let url = if entry.get("serverUrl").is_some() {
            "serverUrl"
        } else {
            "url"
        };
        let kind = string(entry, "type")?;
        match (entry.get("command"), entry.get(url)) {
            (Some(_), None) => command(&mut draft, entry, "env", Some("cwd"))?,
            (_, Some(_)) => {
                let transport = transport(&mut draft, kind, ANY_STREAMABLE)?;
                remote(&mut draft, entry, url, transport)?;
            }
            (None, None) => return Err(without_launch(kind)),
        }
        draft.server.enabled = entry.flag("disabled") != Some(true);
        draft.server.tools.never = some_texts(entry, "disabledTools");
        let known = [
            "type",
            "command",
            "args",
            "env",
            "cwd",
            url,
            "headers",
            "disabled",
            "disabledTools",
        ];
        draft.ignore_others(entry, &known);
        draft.finish()
    });
}

/// The longest time of Cline and Roo, in seconds.
const LONGEST: f64 = 3600.0;

/// Cline.
pub(super) fn cline(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, |name, outer| {
        let mut draft = begin(name, EDITOR);
        // The launch may stand one level deeper.
        let entry = outer
            .get("transport")
            .filter(|transport| transport.is_map())
            .unwrap_or(outer);
        let kind = cline_kind(entry)?;
        match (kind, entry.get("command"), entry.get("url")) {
            (None | Some("stdio"), Some(_), _) => command(&mut draft, entry, "env", Some("cwd"))?,
            (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
            (None, None, None) => return Err("no-launch".to_owned()),
            _ => {
                let transport = match kind {
                    None => {
                        draft.warn("transport-guessed");
                        "sse"
                    }
                    Some("streamableHttp") => "streamable-http",
                    Some("sse") => "sse",
                    Some(_) => return Err("unsupported-transport".to_owned()),
                };
                remote(&mut draft, entry, "url", transport)?;
                if let Some(client @ Node::Map(_)) = outer.get("oauthClient") {
                    let keys = OAuthKeys {
                        client_id: "clientId",
                        client_secret: "clientSecret",
                        scopes: "scopes",
                        ..OAuthKeys::default()
                    };
                    draft.oauth(client, keys);
                }
            }
        }
        cline_timeout(&mut draft, outer);
        draft.server.enabled = outer.flag("disabled") != Some(true);
        draft.server.tools.unasked = some_texts(outer, "autoApprove");
        let known = [
            "type",
            "transportType",
            "transport",
            "command",
            "args",
            "env",
            "cwd",
            "url",
            "headers",
            "timeout",
            "disabled",
            "autoApprove",
            "oauthClient",
        ];
        draft.ignore_others(outer, &known);
        draft.finish()
    });
}

/// Returns the type of a server, also of an older file.
fn cline_kind(entry: &Node) -> Result<Option<&str>, Reason> {
    Ok(match (string(entry, "type")?, string(entry, "transportType")?) {
        (Some(kind), _) => Some(kind),
        (None, Some("http")) => Some("streamableHttp"),
        (None, kind) => kind,
    })
}

/// Reads the time of a call, in seconds. Text is ignored.
fn cline_timeout(draft: &mut Draft, outer: &Node) {
    if let Some(seconds) = outer.get("timeout").and_then(Node::number) {
        let bounded = seconds.clamp(1.0, LONGEST);
        if (bounded - seconds).abs() > f64::EPSILON {
            draft.warn("timeout-clamped");
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let call = (bounded * 1000.0).round() as u64;
        draft.server.timeouts_ms.call = Some(call);
    }
}

/// Roo Code.
pub(super) fn roo(root: &Node, found: &mut Found) {
    each(root.get("mcpServers"), found, |name, entry| {
        let mut draft = begin(name, EDITOR);
        let kind = string(entry, "type")?;
        match (kind, entry.get("command"), entry.get("url")) {
            (_, Some(_), Some(_)) => return Err("both-launches".to_owned()),
            (None | Some("stdio"), Some(_), None) => command(&mut draft, entry, "env", Some("cwd"))?,
            (Some("stdio"), None, _) => return Err("missing:command".to_owned()),
            (None, None, Some(_)) => return Err("type-missing".to_owned()),
            (None, None, None) => return Err("no-launch".to_owned()),
            (Some("streamable-http"), ..) => remote(&mut draft, entry, "url", "streamable-http")?,
            (Some("sse"), ..) => remote(&mut draft, entry, "url", "sse")?,
            (Some(_), ..) => return Err("unsupported-transport".to_owned()),
        }
        if let Some(timeout) = entry.get("timeout") {
            if !timeout
                .number()
                .is_some_and(|seconds| (1.0..=LONGEST).contains(&seconds))
            {
                return Err("wrong-type:timeout".to_owned());
            }
            draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1000.0);
        }
        draft.server.enabled = entry.flag("disabled") != Some(true);
        draft.server.tools.unasked = some_texts(entry, "alwaysAllow");
        draft.server.tools.never = some_texts(entry, "disabledTools");
        let known = [
            "type",
            "command",
            "args",
            "env",
            "cwd",
            "url",
            "headers",
            "timeout",
            "disabled",
            "alwaysAllow",
            "disabledTools",
        ];
        draft.ignore_others(entry, &known);
        draft.finish()
    });
}
