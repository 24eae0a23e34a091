//! LibreChat.

use std::collections::HashMap;

use super::launch::{HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::{Found, Scan, braced, enclosed};
use crate::{Error, Input, InputSource, OAuth, Part, Reason, Text, TransportKind};

const TYPES: &[(&str, Kind)] = &[
    ("stdio", STDIO),
    ("streamable-http", HTTP),
    ("http", HTTP),
    ("sse", SSE),
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("mcpServers"), entry).map(drop)
}

/// What each user sets: `{{V}}` of `customUserVars`, and whether it is secret.
struct UserVariables(HashMap<String, (Input, Option<bool>)>);

impl UserVariables {
    fn read(fields: &mut Fields<'_>) -> Result<Self, Reason> {
        let mut variables = HashMap::new();
        for (name, node) in fields.map("customUserVars")? {
            let mut input = Input::new(name, InputSource::User);
            input.title = node.get("title").and_then(Node::text).map(str::to_owned);
            input.description = node.get("description").and_then(Node::text).map(str::to_owned);
            variables.insert(name.clone(), (input, node.get("sensitive").and_then(Node::bool)));
        }
        Ok(Self(variables))
    }

    /// `${V}`, and `{{V}}` for what users set and for the calling user.
    fn scan(&self, text: &str) -> Option<(usize, Found)> {
        let Some((name, length)) = enclosed(text, "{{", "}}") else {
            return braced(text);
        };
        if let Some((input, secret)) = self.0.get(name) {
            return Some((length, Found::input(input.clone(), *secret)));
        }
        let name = name.strip_prefix("LIBRECHAT_").filter(|name| !name.is_empty())?;
        let name = name.strip_prefix("USER_").unwrap_or(name);
        let input = Input::new(format!("caller.{}", name.to_ascii_lowercase()), InputSource::Caller);
        Some((length, Found::input(input, None)))
    }
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let variables = UserVariables::read(&mut fields)?;
    let scan = |text: &str| variables.scan(text);
    let rules = Rules::new(TYPES, Untyped::Guessed(TransportKind::Sse), &scan);
    if fields.has("command") && !fields.has("args") && !fields.has("url") {
        return Err(Reason::Missing("args".into()));
    }
    rules.read(&mut draft, &mut fields)?;
    draft.server.title = fields.owned("title")?;
    draft.server.description = fields.owned("description")?;
    draft.server.timeouts.call = fields.time("timeout", 1.0)?;
    draft.server.timeouts.start = fields.time("initTimeout", 1.0)?;
    // They concern the client's own pages.
    fields.skip(&["startup", "serverInstructions", "chatMenu", "iconPath"]);
    api_key(&mut draft, &mut fields, &scan)?;
    oauth(&mut draft, &mut fields, &scan)?;
    // Users are asked for all of them, used or not.
    for (input, secret) in variables.0.into_values() {
        let mut input = input;
        input.secret = secret.unwrap_or_else(|| crate::names::is_secret(&input.name));
        draft.add_input(input);
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

/// `apiKey`: a header whose value the administrator or each user sets.
fn api_key(draft: &mut Draft, fields: &mut Fields<'_>, scan: &Scan<'_>) -> Result<(), Reason> {
    let Some(mut section) = fields.fields("apiKey")? else {
        return Ok(());
    };
    let kind = section.text("authorization_type")?.unwrap_or("bearer");
    let (header, scheme) = match kind {
        "custom" => (section.required("custom_header")?.to_owned(), ""),
        "basic" => ("Authorization".to_owned(), "Basic "),
        "bearer" => ("Authorization".to_owned(), "Bearer "),
        _ => return Err(Reason::WrongType("apiKey.authorization_type".into())),
    };
    match section.text("source")? {
        Some("admin") => {
            let key = section.text("key")?.unwrap_or_default();
            draft.header(&header, &format!("{scheme}{key}"), scan)?;
        }
        Some("user") => {
            let name = draft.header_input(&header);
            let mut input = Input::new(&name, InputSource::User);
            input.secret = true;
            draft.add_input(input);
            let value = Text::new([Part::Literal(scheme.to_owned()), Part::Input(name)]);
            draft.server.headers.insert(header, value);
        }
        Some(_) => return Err(Reason::WrongType("apiKey.source".into())),
        None => return Err(Reason::Missing("apiKey.source".into())),
    }
    draft.ignore(section.unread());
    Ok(())
}

fn oauth(draft: &mut Draft, fields: &mut Fields<'_>, scan: &Scan<'_>) -> Result<(), Reason> {
    if fields.bool("requiresOAuth")? == Some(true) {
        draft.server.oauth = Some(OAuth::default());
    }
    let Some(mut section) = fields.fields("oauth")? else {
        return Ok(());
    };
    let keys = OAuthKeys {
        id: "client_id",
        secret: "client_secret",
        scopes: "scope",
        authorization_url: "authorization_url",
        token_url: "token_url",
        audience: "audience",
        own: &["redirect_uri"],
    };
    keys.read(draft, &mut section, scan)
}
