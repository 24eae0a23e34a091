//! URIs that name their server, for gateways with `ResourceNaming::Prefix`.
//!
//! ```text
//! file:///a?b#c         of the server notes:  mcp+notes+file:///a?b#c
//! note://{id}{?full}    of the server notes:  mcp+notes+note://{id}{?full}
//! ui://chart/x          of the server notes:  ui://notes/chart/x
//! ```
//!
//! The server becomes part of the scheme, and the rest is unchanged: URIs stay URIs, templates stay templates, and
//! parsers find the same components. `ui://` is kept, because hosts recognise apps by it. Server names contain neither
//! `+` nor `/`, so the first of these ends the name, and the original can be restored without stored state.

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

/// Returns the client's form of a URI or URI template of `server`.
pub(crate) fn prefixed(server: &ServerName, own: &str) -> Box<str> {
    match own.strip_prefix(APP) {
        Some(rest) => format!("{APP}{server}/{rest}").into(),
        None => format!("{SCHEME}{server}+{own}").into(),
    }
}

/// Returns the server that a client's URI names, and the server's own URI; `None` if it names none.
pub(crate) fn split(uri: &str) -> Option<(&str, Cow<'_, str>)> {
    if let Some(rest) = uri.strip_prefix(SCHEME) {
        let (server, own) = rest.split_once('+')?;
        return Some((server, own.into()));
    }
    let (server, rest) = uri.strip_prefix(APP)?.split_once('/')?;
    Some((server, format!("{APP}{rest}").into()))
}

/// Returns the rewriting of [`prefixed`], for streamed JSON.
fn insertion(server: &ServerName) -> StringPrefix {
    StringPrefix::front(&format!("{SCHEME}{server}+")).or_behind(APP, &format!("{server}/"))
}

/// Rewrites the URIs in a valid JSON text of `server` to the client's form.
pub(crate) fn in_text(server: &ServerName, text: &Bytes, place: JsonPath) -> Bytes {
    let changed = insertion(server).put_into(text, place);
    changed.ok().flatten().unwrap_or_else(|| text.clone())
}

/// The URIs in the definition of a resource, in its update notification, and in the error that it does not exist.
pub(crate) const RESOURCE: JsonPath = Members(&[("uri", Here)]);
/// The URIs in the definition of a template.
pub(crate) const TEMPLATE: JsonPath = Members(&[("uriTemplate", Here)]);
/// The URIs in the definition of a tool: its app, in the current and the first form of MCP Apps, and in that of the
/// Apps SDK for ChatGPT.
pub(crate) const TOOL: JsonPath = Members(&[("_meta", APPS)]);

const APPS: JsonPath = Members(&[
    ("ui", Members(&[("resourceUri", Here)])),
    ("ui/resourceUri", Here),
    ("openai/outputTemplate", Here),
]);
/// A linked or embedded resource. `type`, which may come later, is not needed: a URI at these places always belongs to
/// one of them.
const BLOCK: JsonPath = Members(&[("uri", Here), ("resource", RESOURCE)]);
const CALLED: JsonPath = Members(&[("content", BLOCK), ("_meta", APPS)]);
const PROMPT: JsonPath = Members(&[("messages", Members(&[("content", BLOCK)]))]);
const READ: JsonPath = Members(&[("contents", RESOURCE)]);
/// The URIs in a task.
pub(crate) const TASK: JsonPath = Members(&[("result", CALLED)]);

/// Returns the places of URIs in the result of a method; `None` if there are none.
fn in_result(method: &Method) -> Option<JsonPath> {
    Some(match method {
        Method::ToolsCall | Method::TasksResult => CALLED,
        Method::PromptsGet => PROMPT,
        Method::ResourcesRead => READ,
        Method::TasksGet => TASK,
        _ => return None,
    })
}

/// Returns the rewriting of URIs in the response of `server` to `method`.
pub(crate) fn rewrite(server: &ServerName, method: &Method) -> UriRewrite {
    UriRewrite {
        prefix: insertion(server),
        in_result: in_result(method),
        in_response: in_response(method),
        in_error_data: RESOURCE,
    }
}

/// Returns the places of URIs in the whole response message.
fn in_response(method: &Method) -> Option<JsonPath> {
    Some(match method {
        Method::ToolsCall | Method::TasksResult => Members(&[("result", CALLED)]),
        Method::PromptsGet => Members(&[("result", PROMPT)]),
        Method::ResourcesRead => Members(&[("result", READ)]),
        Method::TasksGet => Members(&[("result", TASK)]),
        _ => return None,
    })
}
