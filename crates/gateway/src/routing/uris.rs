//! URIs that say whose they are, for gateways that name the server in them (`ResourceNaming::Prefix`).
//!
//! ```text
//! file:///a?b#c         of the server notes:  mcp+notes+file:///a?b#c
//! note://{id}{?full}    of the server notes:  mcp+notes+note://{id}{?full}
//! ui://chart/x          of the server notes:  ui://notes/chart/x
//! ```
//!
//! The server becomes a part of the scheme, and all that follows stays as it is: whatever is a URI or a template before is
//! one after, and a client that takes it apart finds the same parts. `ui://` stays, because hosts of apps know those by it.
//! Names of servers hold neither `+` nor `/`, so the first of these ends them, and nothing has to be remembered to get back.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;
use portolan_client::UriRewrite;
use portolan_core::ServerName;
use portolan_wire::{
    method::Method,
    rewrite::{
        JsonPath::{self, Here, Members},
        StringPrefix,
    },
};

const SCHEME: &str = "mcp+";
const APP: &str = "ui://";

/// The URI of a resource of `server`, or a template of some, as clients have it.
pub(crate) fn prefixed(server: &ServerName, own: &str) -> Box<str> {
    match own.strip_prefix(APP) {
        Some(rest) => format!("{APP}{server}/{rest}").into(),
        None => format!("{SCHEME}{server}+{own}").into(),
    }
}

/// The server that a client's URI names, and the URI as that server has it; `None` if it names none.
pub(crate) fn meant(uri: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some(rest) = uri.strip_prefix(SCHEME) {
        let (server, own) = rest.split_once('+')?;
        return Some((server, own.into()));
    }
    let (server, rest) = uri.strip_prefix(APP)?.split_once('/')?;
    Some((server, format!("{APP}{rest}").into()))
}

/// The same as [`prefixed`], for JSON that flows by.
fn insertion(server: &ServerName) -> StringPrefix {
    StringPrefix::front(&format!("{SCHEME}{server}+")).or_behind(APP, &format!("{server}/"))
}

/// A JSON text of `server` that is known to be one, with its URIs as clients have them.
pub(crate) fn in_text(server: &ServerName, text: &Bytes, place: JsonPath) -> Bytes {
    let changed = insertion(server).put_into(text, place);
    changed.ok().flatten().unwrap_or_else(|| text.clone())
}

/// Where URIs are in the definition of a resource, in what tells of its change, and that there is none.
pub(crate) const RESOURCE: JsonPath = Members(&[("uri", Here)]);
/// In the definition of a template.
pub(crate) const TEMPLATE: JsonPath = Members(&[("uriTemplate", Here)]);
/// In the definition of a tool: its app, as MCP Apps name it, as they did at first, and as the Apps SDK for ChatGPT does.
pub(crate) const TOOL: JsonPath = Members(&[("_meta", APPS)]);

const APPS: JsonPath = Members(&[
    ("ui", Members(&[("resourceUri", Here)])),
    ("ui/resourceUri", Here),
    ("openai/outputTemplate", Here),
]);
/// A link to a resource, or one that is embedded. What has a URI in these places is one of them, whatever its `type` says,
/// which may come after it.
const BLOCK: JsonPath = Members(&[("uri", Here), ("resource", RESOURCE)]);
const CALLED: JsonPath = Members(&[("content", BLOCK), ("_meta", APPS)]);
const PROMPT: JsonPath = Members(&[("messages", Members(&[("content", BLOCK)]))]);
const READ: JsonPath = Members(&[("contents", RESOURCE)]);
/// In all of a task.
pub(crate) const TASK: JsonPath = Members(&[("result", CALLED)]);

/// Where URIs are in the result of a method; `None` where there are none.
fn in_result(method: &Method) -> Option<JsonPath> {
    Some(match method {
        Method::ToolsCall | Method::TasksResult => CALLED,
        Method::PromptsGet => PROMPT,
        Method::ResourcesRead => READ,
        Method::TasksGet => TASK,
        _ => return None,
    })
}

/// The rewriting of the URIs of `server` in the answer to `method`.
pub(crate) fn rewrite(server: &ServerName, method: &Method) -> UriRewrite {
    UriRewrite {
        prefix: insertion(server),
        in_result: in_result(method),
        in_response: in_response(method),
        in_error_data: RESOURCE,
    }
}

/// The same in the message that has the result.
fn in_response(method: &Method) -> Option<JsonPath> {
    Some(match method {
        Method::ToolsCall | Method::TasksResult => Members(&[("result", CALLED)]),
        Method::PromptsGet => Members(&[("result", PROMPT)]),
        Method::ResourcesRead => Members(&[("result", READ)]),
        Method::TasksGet => Members(&[("result", TASK)]),
        _ => return None,
    })
}
