//! Gemini CLI.

use super::entry::{begin, command, each, milliseconds, remote, some_texts};
use crate::{
    Found,
    draft::{Draft, OAuthKeys, Reason},
    model::ImportedServer,
    node::Node,
    placeholder::Syntax,
    string,
};

pub(super) fn read(root: &Node, found: &mut Found) {
    let mcp = root.get("mcp");
    let list = |key| mcp.and_then(|mcp: &Node| mcp.texts(key));
    let (allowed, excluded) = (list("allowed"), list("excluded").unwrap_or_default());
    each(root.get("mcpServers"), found, |name, entry| {
        let mut server = read_entry(name, entry)?;
        let is_allowed = allowed
            .as_ref()
            .is_none_or(|names| names.iter().any(|allowed| allowed == name));
        server.enabled = is_allowed && !excluded.iter().any(|excluded| excluded == name);
        Ok(server)
    });
}

fn read_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Shell { bare: true });
    launch(&mut draft, entry)?;
    if let Some(oauth @ Node::Map(_)) = entry.get("oauth")
        && oauth.flag("enabled") != Some(false)
    {
        let keys = OAuthKeys {
            client_id: "clientId",
            client_secret: "clientSecret",
            scopes: "scopes",
            authorization_url: Some("authorizationUrl"),
            token_url: Some("tokenUrl"),
            ..OAuthKeys::default()
        };
        draft.oauth(oauth, keys);
    }
    if let Some(kind) = string(entry, "authProviderType")?
        && kind != "dynamic_discovery"
    {
        draft.warn(format!("unsupported-auth:{kind}"));
    }
    draft.server.tools.only = entry.texts("includeTools");
    draft.server.tools.never = some_texts(entry, "excludeTools");
    if entry.flag("trust") == Some(true) {
        draft.server.tools.unasked = vec!["*".to_owned()];
    }
    draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1.0);
    draft.server.description = string(entry, "description")?.map(ToOwned::to_owned);
    let known = [
        "type",
        "command",
        "args",
        "env",
        "cwd",
        "url",
        "httpUrl",
        "tcp",
        "headers",
        "oauth",
        "authProviderType",
        "timeout",
        "trust",
        "includeTools",
        "excludeTools",
        "description",
        "extension",
        "targetAudience",
        "targetServiceAccount",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}

/// Reads how the server is reached or started.
fn launch(draft: &mut Draft, entry: &Node) -> Result<(), Reason> {
    let kind = string(entry, "type")?;
    if entry.get("httpUrl").is_some() {
        draft.warn("deprecated-key:httpUrl");
        if entry.get("url").is_some() {
            draft.warn("ignored-key:url");
        }
        remote(draft, entry, "httpUrl", "streamable-http")?;
    } else if entry.get("url").is_some() {
        let transport = match kind {
            None => {
                draft.warn("transport-guessed");
                "either"
            }
            Some("http") => "streamable-http",
            Some("sse") => "sse",
            Some(_) => return Err("unsupported-transport".to_owned()),
        };
        remote(draft, entry, "url", transport)?;
    } else if entry.get("command").is_some() {
        if !matches!(kind, None | Some("stdio")) {
            return Err("missing:url".to_owned());
        }
        command(draft, entry, "env", Some("cwd"))?;
    } else if entry.get("tcp").is_some() {
        return Err("unsupported-transport".to_owned());
    }
    Ok(())
}
