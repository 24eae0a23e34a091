//! OpenAI Codex.

use super::launch::{OAuthKeys, Rules, Untyped, scopes};
use super::reader::Reader;
use crate::draft::{Draft, Place};
use crate::fields::Fields;
use crate::names::is_secret;
use crate::node::Node;
use crate::placeholder::none;
use crate::{Error, Input, InputSource, OAuth, Part, Reason, Text, TransportKind, WarningKind};

/// What a local server must not have: each is fatal beside `url`, even if it is empty.
const LOCAL_KEYS: &[&str] = &["command", "args", "env", "env_vars", "cwd"];

/// What a server at a URL has, fatal beside `command`.
const REMOTE_KEYS: &[&str] = &[
    "url",
    "bearer_token_env_var",
    "http_headers",
    "env_http_headers",
    "oauth_resource",
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let reasons = reader.add_map(root.get("mcp_servers"), entry)?;
    reader.refuses(!reasons.is_empty(), root.line);
    for other in ["mcpServers", "mcp-servers"] {
        if let Some(node) = root.get(other) {
            reader.warn(WarningKind::IgnoredKey(other.to_owned()), node.line);
        }
    }
    Ok(())
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let has = |keys: &[&str]| keys.iter().any(|key| fields.has(key));
    if (fields.has("url") && has(LOCAL_KEYS)) || (fields.has("command") && has(REMOTE_KEYS)) {
        return Err(Reason::BothLaunches);
    }
    if fields.has("bearer_token") {
        return Err(Reason::WrongType("bearer_token".into()));
    }
    let rules = Rules {
        type_key: None,
        headers: false,
        ..Rules::new(&[], Untyped::Certain(TransportKind::StreamableHttp), &none)
    };
    let remote = fields.has("url");
    rules.read(&mut draft, &mut fields)?;
    if remote {
        headers(&mut draft, &mut fields)?;
        oauth(&mut draft, &mut fields)?;
    } else {
        passed_on(&mut draft, &mut fields)?;
    }
    draft.server.enabled = fields.bool("enabled")?.unwrap_or(true);
    let seconds = fields.time("startup_timeout_sec", 1_000.0)?;
    draft.server.timeouts.start = match seconds {
        // `startup_timeout_ms` counts only alone.
        Some(_) => seconds,
        None => fields.time("startup_timeout_ms", 1.0)?,
    };
    draft.server.timeouts.call = fields.time("tool_timeout_sec", 1_000.0)?;
    draft.server.tools.only = fields.texts("enabled_tools")?;
    draft.server.tools.never = fields.texts("disabled_tools")?.unwrap_or_default();
    draft.ignore(fields.unread());
    Ok(draft)
}

/// Names of variables that are passed on: texts, or maps with a `name`.
fn passed_on(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    let Some(node) = fields.node("env_vars") else {
        return Ok(());
    };
    let items = node.list().ok_or_else(|| Reason::WrongType("env_vars".into()))?;
    for (index, item) in items.iter().enumerate() {
        let name = item.text().or_else(|| item.get("name").and_then(Node::text));
        let name = name.ok_or_else(|| Reason::WrongType(format!("env_vars[{index}]")))?;
        // A value in `env` wins.
        if !draft.server.env.contains_key(name) {
            draft.pass_env(name, InputSource::Environment, is_secret(name));
        }
    }
    Ok(())
}

fn headers(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    for (name, value) in fields.text_map("http_headers", false)? {
        draft.header(&name, &value, &none)?;
    }
    for (header, variable) in fields.text_map("env_http_headers", false)? {
        let mut input = Input::new(&variable, InputSource::Environment);
        input.secret = is_secret(&variable) || is_secret(&header);
        draft.add_input(input);
        draft.server.headers.insert(header, Text::input(variable));
    }
    if let Some(variable) = fields.text("bearer_token_env_var")? {
        let mut input = Input::new(variable, InputSource::Environment);
        input.secret = true;
        draft.add_input(input);
        let value = Text::new([Part::Literal("Bearer ".into()), Part::Input(variable.to_owned())]);
        draft.server.headers.insert("Authorization".into(), value);
    }
    Ok(())
}

fn oauth(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    let scopes = scopes(fields, "scopes")?;
    let resource = fields.text("oauth_resource")?;
    if !scopes.is_empty() || resource.is_some() {
        let mut oauth = OAuth::default();
        for scope in scopes {
            oauth.scopes.push(draft.expand(&scope, Place::Plain, &none)?);
        }
        oauth.resource = resource.map(Text::from);
        draft.server.oauth = Some(oauth);
    }
    if let Some(mut section) = fields.fields("oauth")? {
        let keys = OAuthKeys::client("client_id", "client_secret", "scopes");
        keys.read(draft, &mut section, &none)?;
    }
    Ok(())
}
