//! Goose.

use super::reader::Reader;
use crate::draft::{Draft, Place};
use crate::fields::Fields;
use crate::local::Local;
use crate::names::{is_authorization, is_secret};
use crate::node::Node;
use crate::placeholder::{Found, bare_name, enclosed, none};
use crate::{Error, Input, InputSource, Reason, Text, TransportKind, WarningKind};

/// Variables that Goose does not set.
const FORBIDDEN: &[&str] = &[
    "PATH",
    "PATHEXT",
    "SystemRoot",
    "windir",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_DEBUG",
    "LD_BIND_NOW",
    "LD_ASSUME_KERNEL",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "DYLD_FRAMEWORK_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "NODE_OPTIONS",
    "RUBYOPT",
    "GEM_PATH",
    "GEM_HOME",
    "CLASSPATH",
    "GO111MODULE",
    "GOROOT",
    "APPINIT_DLLS",
    "SESSIONNAME",
    "ComSpec",
    "TEMP",
    "TMP",
    "LOCALAPPDATA",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let Some(map) = root.get("extensions") else {
        return Ok(());
    };
    let members = map
        .map()
        .ok_or_else(|| Error::shape(map.line, "the extensions are not a map"))?;
    for (key, node) in members {
        let name = node.get("name").and_then(Node::text).unwrap_or(key);
        reader.add(name, node.line, entry(name, node))?;
    }
    Ok(())
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    fields.skip(&["name", "bundled"]);
    let kind = fields.text("type")?;
    match kind {
        Some("stdio" | "streamable_http") => {}
        Some("builtin" | "platform" | "frontend" | "inline_python") => return Err(Reason::InClient),
        Some(_) => return Err(Reason::UnsupportedTransport),
        None => return Err(Reason::TypeMissing),
    }
    draft.server.enabled = fields
        .bool("enabled")?
        .ok_or_else(|| Reason::Missing("enabled".into()))?;
    let envs = fields.text_map("envs", false)?;
    let keys = fields.texts("env_keys")?.unwrap_or_default();
    if kind == Some("stdio") {
        local(&mut draft, &mut fields, envs, &keys)?;
    } else {
        remote(&mut draft, &mut fields, &envs, &keys)?;
    }
    draft.server.title = fields.owned("display_name")?;
    draft.server.description = fields.owned("description")?.filter(|text| !text.is_empty());
    draft.server.timeouts.call = fields.time("timeout", 1_000.0)?;
    draft.server.tools.only = fields.texts("available_tools")?.filter(|tools| !tools.is_empty());
    draft.ignore(fields.unread());
    Ok(draft)
}

fn local(
    draft: &mut Draft,
    fields: &mut Fields<'_>,
    envs: Vec<(String, String)>,
    keys: &[String],
) -> Result<(), Reason> {
    let command = fields.required("cmd")?.to_owned();
    let args = fields.texts("args")?.ok_or_else(|| Reason::Missing("args".into()))?;
    let forbidden = |name: &str| FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name));
    for (name, _) in envs.iter().filter(|(name, _)| forbidden(name)) {
        draft.warn(WarningKind::ForbiddenEnv(name.clone()));
    }
    let env = envs.into_iter().filter(|(name, _)| !forbidden(name)).collect();
    draft.local(
        &Local {
            command,
            args,
            env,
            cwd: None,
        },
        &none,
    )?;
    for key in keys.iter().filter(|key| !forbidden(key)) {
        draft.pass_env(key, InputSource::Keyring, true);
    }
    for key in keys.iter().filter(|key| forbidden(key)) {
        draft.warn(WarningKind::ForbiddenEnv(key.clone()));
    }
    Ok(())
}

fn remote(
    draft: &mut Draft,
    fields: &mut Fields<'_>,
    envs: &[(String, String)],
    keys: &[String],
) -> Result<(), Reason> {
    let uri = fields.required("uri")?;
    draft.remote(uri, TransportKind::StreamableHttp, &none)?;
    for (header, value) in fields.text_map("headers", false)? {
        let text = header_text(draft, &header, &value, envs, keys)?;
        draft.header_text(&header, text);
    }
    Ok(())
}

/// Fills a header from `env_keys` and `envs`; other names stay as they are.
fn header_text(
    draft: &mut Draft,
    header: &str,
    value: &str,
    envs: &[(String, String)],
    keys: &[String],
) -> Result<Text, Reason> {
    let given = |name: &str| envs.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    let scan = |text: &str| {
        let (name, length) = match enclosed(text, "${", "}") {
            Some(braced) => braced,
            None => bare_name(text).map(|name| (name, name.len() + 1))?,
        };
        if keys.iter().any(|key| key == name) {
            return Some((length, Found::input(Input::new(name, InputSource::Keyring), Some(true))));
        }
        let value = given(name)?;
        let secret = is_secret(name) || is_authorization(header) || is_secret(header);
        if !secret {
            return Some((length, Found::Literal(value.clone())));
        }
        let mut input = Input::new(name, InputSource::Environment);
        if !value.is_empty() {
            input.source = InputSource::Literal;
            input.value = Some(portolan_core::Secret::new(value.clone()));
        }
        Some((length, Found::input(input, Some(true))))
    };
    let text = draft.expand(value, Place::Header(header), &scan)?;
    let literal = |name: &str| {
        draft
            .server
            .input(name)
            .is_some_and(|input| input.source == InputSource::Literal)
    };
    if text.inputs().any(literal) {
        draft.warn(WarningKind::SecretInFile);
    }
    Ok(text)
}
