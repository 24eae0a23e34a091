//! opencode, in both of its forms.

use super::launch::OAuthKeys;
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::local::Local;
use crate::node::Node;
use crate::placeholder::{Found, enclosed};
use crate::{Error, Input, InputSource, OAuth, Reason, TransportKind};

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let mcp = root.get("mcp");
    // In the second form the map stands one level deeper. A server of that name in the first form has a type or a switch.
    let second = mcp.and_then(|mcp| mcp.get("servers")).filter(|servers| {
        let members = servers.map().unwrap_or_default();
        servers.map().is_some() && members.iter().all(|(_, node)| node.map().is_some())
    });
    let mut fatal = false;
    let entry = |name: &str, node: &Node| {
        let made = entry(name, node);
        // An entry that only switches an inherited one is as it should be.
        let switch = matches!(made, Err(Reason::NoLaunch)) && node.map().is_some();
        fatal |= made.is_err() && !switch;
        made
    };
    reader.add_map(second.or(mcp), entry)?;
    reader.refuses(fatal, root.line);
    Ok(())
}

/// `{env:V}` and `{file:path}`.
fn scan(text: &str) -> Option<(usize, Found)> {
    if let Some((name, length)) = enclosed(text, "{env:", "}") {
        return (!name.is_empty()).then(|| (length, Found::environment(name, None)));
    }
    let (path, length) = enclosed(text, "{file:", "}")?;
    (!path.is_empty()).then(|| (length, Found::input(Input::new(path, InputSource::File), None)))
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    match fields.text("type")? {
        Some("local") => local(&mut draft, &mut fields)?,
        Some("remote") => {
            let url = fields.required("url")?;
            draft.remote(url, TransportKind::Either, &scan)?;
            for (name, value) in fields.text_map("headers", false)? {
                draft.header(&name, &value, &scan)?;
            }
            oauth(&mut draft, &mut fields)?;
        }
        Some(_) => return Err(Reason::UnsupportedTransport),
        None if fields.has("command") || fields.has("url") => return Err(Reason::TypeMissing),
        None => return Err(Reason::NoLaunch),
    }
    let enabled = fields.bool("enabled")?.unwrap_or(true);
    draft.server.enabled = enabled && !fields.bool("disabled")?.unwrap_or(false);
    match fields.node("timeout").filter(|node| node.map().is_some()) {
        Some(_) => {
            if let Some(mut timeout) = fields.fields("timeout")? {
                draft.server.timeouts.start = timeout.time("startup", 1.0)?;
                draft.server.timeouts.call = timeout.time("request", 1.0)?;
                draft.ignore(timeout.unread());
            }
        }
        None => draft.server.timeouts.call = fields.time("timeout", 1.0)?,
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

fn local(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    let mut words = fields.texts("command")?.unwrap_or_default().into_iter();
    let command = words.next().filter(|command| !command.is_empty());
    let local = Local {
        command: command.ok_or_else(|| Reason::Missing("command".into()))?,
        args: words.collect(),
        env: fields.text_map("environment", false)?,
        cwd: fields.owned("cwd")?,
    };
    draft.local(&local, &scan)
}

fn oauth(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    match fields.node("oauth").and_then(Node::bool) {
        Some(false) => return Ok(()),
        Some(true) => return Err(Reason::WrongType("oauth".into())),
        None => {}
    }
    let Some(mut section) = fields.fields("oauth")? else {
        return Ok(());
    };
    draft.server.oauth = Some(OAuth::default());
    let first = section.has("clientId") || section.has("clientSecret");
    let keys = OAuthKeys {
        id: if first { "clientId" } else { "client_id" },
        secret: if first { "clientSecret" } else { "client_secret" },
        scopes: "scope",
        authorization_url: "",
        token_url: "",
        audience: "",
        own: &["redirectUri", "callbackPort", "redirect_uri", "callback_port"],
    };
    keys.read(draft, &mut section, &scan)
}
