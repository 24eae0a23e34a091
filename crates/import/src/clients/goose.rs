//! Goose.

use super::entry::{begin, milliseconds};
use crate::{
    Found,
    draft::{Draft, Reason},
    model::{ImportedServer, Input},
    node::Node,
    placeholder::Syntax,
    string, strings, text_map,
};

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

pub(super) fn read(root: &Node, found: &mut Found) {
    for (key, entry) in root.get("extensions").map(Node::members).unwrap_or_default() {
        let name = entry.text_of("name").unwrap_or(key);
        found.add(name, read_entry(name, entry));
    }
}

fn read_entry(name: &str, entry: &Node) -> Result<ImportedServer, Reason> {
    let mut draft = begin(name, Syntax::Goose);
    let kind = string(entry, "type")?.ok_or("type-missing")?;
    if matches!(kind, "builtin" | "platform" | "frontend" | "inline_python") {
        return Err("in-client".to_owned());
    }
    let enabled = entry.flag("enabled").ok_or("missing:enabled")?;
    let env_keys = strings(entry, "env_keys")?.unwrap_or_default();
    for name in &env_keys {
        let input = Input {
            name: name.clone(),
            secret: true,
            required: true,
            source: "keyring",
            ..Input::default()
        };
        draft.declared.insert(name.clone(), input);
    }
    let envs = text_map(entry, "envs")?;
    match kind {
        "stdio" => stdio(&mut draft, entry, &envs, &env_keys)?,
        "streamable_http" => {
            let known = envs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            draft.known = known.collect();
            let url = string(entry, "uri")?.ok_or("missing:uri")?;
            for (name, value) in text_map(entry, "headers")? {
                draft.header(name, value);
            }
            let url = draft.url_without_secrets(url);
            draft.filled_url(url, "streamable-http");
        }
        _ => return Err("unsupported-transport".to_owned()),
    }
    draft.server.enabled = enabled;
    draft.server.description = string(entry, "description")?
        .filter(|text| !text.is_empty())
        .map(ToOwned::to_owned);
    draft.server.tools.only = entry.texts("available_tools").filter(|tools| !tools.is_empty());
    draft.server.timeouts_ms.call = milliseconds(entry, "timeout", 1000.0);
    let known = [
        "type",
        "name",
        "enabled",
        "description",
        "display_name",
        "cmd",
        "args",
        "envs",
        "env_keys",
        "uri",
        "headers",
        "timeout",
        "available_tools",
        "bundled",
    ];
    draft.ignore_others(entry, &known);
    draft.finish()
}

fn stdio(draft: &mut Draft, entry: &Node, envs: &[(&str, &str)], env_keys: &[String]) -> Result<(), Reason> {
    let program = string(entry, "cmd")?.ok_or("missing:cmd")?;
    let args = strings(entry, "args")?.ok_or("missing:args")?;
    let is_forbidden = |name: &str| FORBIDDEN.iter().any(|forbidden| forbidden.eq_ignore_ascii_case(name));
    for (name, value) in envs {
        if is_forbidden(name) {
            draft.warn(format!("forbidden-env:{name}"));
            continue;
        }
        // Placeholders are filled in headers alone.
        let value = draft.fill_by(value, false, Syntax::None);
        draft.plain_env(name, value);
    }
    for name in env_keys {
        if let Some(input) = draft.declared.get(name).cloned() {
            let reference = draft.input(input);
            draft.server.env.insert(name.clone(), reference);
        }
    }
    let plain = |draft: &mut Draft, text: &str| draft.fill_by(text, false, Syntax::None);
    let program = plain(draft, program);
    let args = args.iter().map(|arg| plain(draft, arg)).collect();
    crate::command::read(draft, program, args, None);
    Ok(())
}
