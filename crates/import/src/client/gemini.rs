//! Gemini CLI.

use super::launch::{HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::{Scan, shell};
use crate::{Error, OAuth, Reason, TransportKind, WarningKind};

const TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("http", HTTP), ("sse", SSE)];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let list = |key: &str| {
        let items = root.get("mcp").and_then(|mcp| mcp.get(key)).and_then(Node::list)?;
        Some(items.iter().filter_map(Node::text).collect::<Vec<_>>())
    };
    let (allowed, excluded) = (list("allowed"), list("excluded"));
    let entry = |name: &str, node: &Node| {
        let mut draft = entry(name, node)?;
        let off = excluded.as_ref().is_some_and(|names| names.contains(&name));
        let on = allowed.as_ref().is_none_or(|names| names.contains(&name));
        draft.server.enabled = on && !off;
        Ok(draft)
    };
    reader.add_map(root.get("mcpServers"), entry).map(drop)
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let scan = shell(true);
    let rules = Rules::new(TYPES, Untyped::Guessed(TransportKind::Either), &scan);
    if fields.has("tcp") && !fields.has("command") && !fields.has("url") && !fields.has("httpUrl") {
        return Err(Reason::UnsupportedTransport);
    }
    if fields.has("httpUrl") {
        if fields.has("command") {
            return Err(Reason::BothLaunches);
        }
        // It wins over `url` and `type`.
        fields.skip(&["type"]);
        rules.remote(&mut draft, &mut fields, "httpUrl", TransportKind::StreamableHttp)?;
        draft.warn(WarningKind::DeprecatedKey("httpUrl".into()));
    } else {
        rules.read(&mut draft, &mut fields)?;
    }
    draft.server.description = fields.owned("description")?;
    draft.server.timeouts.call = fields.time("timeout", 1.0)?;
    draft.server.tools.only = fields.texts("includeTools")?;
    draft.server.tools.never = fields.texts("excludeTools")?.unwrap_or_default();
    if fields.bool("trust")? == Some(true) {
        draft.server.tools.unasked = vec!["*".into()];
    }
    match fields.text("authProviderType")? {
        Some("dynamic_discovery") => draft.server.oauth = Some(OAuth::default()),
        Some(kind) => draft.warn(WarningKind::UnsupportedAuth(kind.to_owned())),
        None => {}
    }
    if let Some(mut section) = fields.fields("oauth")?
        && section.bool("enabled")? != Some(false)
    {
        oauth(&mut draft, &mut section, &scan)?;
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

fn oauth(draft: &mut Draft, section: &mut Fields<'_>, scan: &Scan<'_>) -> Result<(), Reason> {
    let keys = OAuthKeys {
        id: "clientId",
        secret: "clientSecret",
        scopes: "scopes",
        authorization_url: "authorizationUrl",
        token_url: "tokenUrl",
        audience: "audiences",
        own: &["redirectUri"],
    };
    keys.read(draft, section, scan)
}
