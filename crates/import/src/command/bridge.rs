//! Stdio bridges before remote servers.

use crate::{
    command::package::runner,
    draft::{Draft, OAuthKeys, is_secret_header, is_secret_name},
    model::OAuth,
    node::Node,
    placeholder::{Piece, Pieces, Syntax},
};

/// Reads the command line of a bridge. Returns `false` if it is none.
pub(super) fn read(draft: &mut Draft, program: &str, args: &[String]) -> bool {
    let (name, args) = match program {
        "mcp-remote" | "supergateway" | "mcp-proxy" => (program.to_owned(), args.to_vec()),
        _ => {
            let Some(run) = runner(program, args) else { return false };
            let Some(spec) = run.packages.first() else { return false };
            let started = run.program.as_deref().unwrap_or(spec);
            (bare_name(started).to_owned(), run.args)
        }
    };
    match name.as_str() {
        "mcp-remote" => mcp_remote(draft, &args),
        "supergateway" => supergateway(draft, &args),
        "mcp-proxy" => mcp_proxy(draft, &args),
        _ => false,
    }
}

/// Returns a package's name without its version.
fn bare_name(spec: &str) -> &str {
    let end = spec.get(1..).and_then(|rest| rest.find(['@', '=', '[']));
    end.map_or(spec, |end| &spec[..=end])
}

fn mcp_remote(draft: &mut Draft, args: &[String]) -> bool {
    let (mut url, mut headers, mut transport) = (None, Vec::new(), "either");
    let mut oauth = OAuth::default();
    let mut client = None;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (flag, inline) = match arg.split_once('=') {
            Some((flag, value)) if flag.starts_with("--") => (flag, Some(value.to_owned())),
            _ => (arg.as_str(), None),
        };
        let mut value = || inline.clone().or_else(|| rest.next().cloned());
        match flag {
            "--header" => headers.extend(value()),
            "--transport" => {
                transport = match value().as_deref() {
                    Some("http-only") => "streamable-http",
                    Some("sse-only") => "sse",
                    _ => "either",
                }
            }
            "--resource" => oauth.resource = value(),
            "--ignore-tool" => draft.server.tools.never.extend(value()),
            "--static-oauth-client-info" => client = value(),
            "--header-file" | "--host" | "--auth-timeout" | "--static-oauth-client-metadata" => {
                value();
            }
            _ if flag.starts_with("--") => {}
            _ if url.is_none() => url = Some(arg.clone()),
            _ => {}
        }
    }
    let Some(url) = url else { return false };
    let env = std::mem::take(&mut draft.server.env);
    set_headers(draft, &headers, &env);
    if let Some(Ok(client)) = client.map(|text| serde_json::from_str::<Node>(&text)) {
        let keys = OAuthKeys {
            client_id: "client_id",
            client_secret: "client_secret",
            scopes: "scope",
            ..OAuthKeys::default()
        };
        let resource = oauth.resource.take();
        draft.oauth(&client, keys);
        if let Some(known) = &mut draft.server.oauth {
            known.resource = resource;
        }
    } else if !draft
        .server
        .headers
        .keys()
        .any(|name| name.eq_ignore_ascii_case("authorization"))
    {
        draft.server.oauth = Some(oauth);
    }
    finish(draft, url, transport, &env);
    true
}

fn supergateway(draft: &mut Draft, args: &[String]) -> bool {
    let (mut url, mut headers) = (None, Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--streamableHttp" => url = rest.next().map(|url| (url.clone(), "streamable-http")),
            "--sse" => url = rest.next().map(|url| (url.clone(), "sse")),
            "--header" => headers.extend(rest.next().cloned()),
            "--oauth2Bearer" => headers.extend(rest.next().map(|token| format!("Authorization: Bearer {token}"))),
            "--stdio" => return false,
            _ => {}
        }
    }
    let Some((url, transport)) = url else { return false };
    let env = std::mem::take(&mut draft.server.env);
    set_headers(draft, &headers, &env);
    finish(draft, url, transport, &env);
    true
}

fn mcp_proxy(draft: &mut Draft, args: &[String]) -> bool {
    let (mut url, mut headers, mut transport) = (None, Vec::new(), "sse");
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--headers" | "-H" => headers.extend(rest.next().zip(rest.next())),
            "--transport" => {
                if rest.next().is_some_and(|name| name.starts_with("streamable")) {
                    transport = "streamable-http";
                }
            }
            "--transport=streamablehttp" | "--transport=streamable-http" => transport = "streamable-http",
            _ if arg.starts_with('-') => {}
            _ => {
                url = Some(arg.clone());
                break;
            }
        }
    }
    let Some(url) = url.filter(|url| url.starts_with("http") || url.starts_with("<<")) else {
        return false;
    };
    headers.extend(rest.collect::<Vec<_>>().windows(3).filter_map(|words| match words {
        [flag, name, value] if matches!(flag.as_str(), "--headers" | "-H") => Some((*name, *value)),
        _ => None,
    }));
    let env = std::mem::take(&mut draft.server.env);
    for (name, value) in headers {
        set_header(draft, name, value, &env);
    }
    finish(draft, url, transport, &env);
    true
}

type Env = std::collections::BTreeMap<String, String>;

/// Sets headers, each `Name:value`.
fn set_headers(draft: &mut Draft, headers: &[String], env: &Env) {
    for (name, value) in headers.iter().filter_map(|header| header.split_once(':')) {
        set_header(draft, name.trim(), value.trim(), env);
    }
}

/// Sets a header. A bridge fills what the client has left of `${V}` from the entry's `env`.
fn set_header(draft: &mut Draft, name: &str, value: &str, env: &Env) {
    let secret = is_secret_header(name);
    let mut out = String::new();
    for piece in Pieces::of(value, Syntax::Shell { bare: false }).pieces {
        match piece {
            Piece::Text(text) => out.push_str(&text),
            Piece::Variable { name: variable, .. } => {
                let filled = from_env(draft, &variable, env, secret);
                out.push_str(&filled);
            }
        }
    }
    // The client may have filled the placeholder with an input of its own: the entry's `env` comes first.
    for (variable, value) in env {
        let reference = format!("<<{variable}>>");
        if out.contains(&reference) && *value != reference {
            forget(draft, variable);
            let filled = from_env(draft, variable, env, secret);
            out = out.replace(&reference, &filled);
        }
    }
    mark_secrets(draft, &out, secret);
    draft.filled_header(name, out);
}

fn from_env(draft: &mut Draft, variable: &str, env: &Env, secret: bool) -> String {
    match env.get(variable) {
        Some(value) if value.contains("<<") => value.clone(),
        Some(value) if secret || is_secret_name(variable) => draft.literal(variable, value),
        Some(value) => value.clone(),
        None => draft.environment(variable, secret),
    }
}

/// Forgets an input of the environment.
fn forget(draft: &mut Draft, name: &str) {
    draft
        .server
        .inputs
        .retain(|input| input.name != name || input.source != "environment");
}

fn mark_secrets(draft: &mut Draft, text: &str, secret: bool) {
    for input in &mut draft.server.inputs {
        input.secret |= secret && text.contains(&format!("<<{}>>", input.name));
    }
}

/// Sets the URL, and drops the inputs that only the bridge's environment had.
fn finish(draft: &mut Draft, url: String, transport: &'static str, env: &Env) {
    draft.warn("bridge");
    let url = draft.url_without_secrets(&url);
    let mut used = url.clone();
    used.extend(draft.server.headers.values().map(String::as_str));
    let oauth = draft.server.oauth.iter();
    used.extend(
        oauth
            .flat_map(|oauth| [&oauth.client_id, &oauth.client_secret])
            .flatten()
            .map(String::as_str),
    );
    let of_env: String = env.values().map(String::as_str).collect();
    let had_secret = draft.server.inputs.iter().any(|input| input.source == "literal");
    draft.server.inputs.retain(|input| {
        let reference = format!("<<{}>>", input.name);
        used.contains(&reference) || !of_env.contains(&reference)
    });
    let has_secret = draft.server.inputs.iter().any(|input| input.source == "literal");
    if had_secret && !has_secret {
        draft.server.warnings.retain(|warning| warning != "secret-in-file");
    }
    draft.filled_url(url, transport);
}
