//! Manifests of bundles (MCPB).

use serde_json::{Map, Value};

use crate::{
    Found, command,
    draft::{Draft, Reason, is_secret_name},
    model::{ImportedServer, Input},
    node::Node,
    placeholder::Syntax,
    string, strings, text_map,
};

const VERSIONS: &[&str] = &["0.1", "0.2", "0.3", "0.4"];

/// Reads a manifest.
pub(crate) fn read(root: &Node, found: &mut Found) {
    let name = root.text_of("name").unwrap_or_default();
    found.add(name, read_manifest(name, root));
}

fn read_manifest(name: &str, root: &Node) -> Result<ImportedServer, Reason> {
    if name.is_empty() {
        return Err("missing:name".to_owned());
    }
    let mut draft = Draft::new(name, Syntax::None);
    let version = match (root.get("manifest_version"), root.get("dxt_version")) {
        (Some(version), _) => version,
        (None, Some(version)) => {
            draft.warn("old-form");
            version
        }
        (None, None) => return Err("missing:manifest_version".to_owned()),
    };
    if !version.text().is_some_and(|version| VERSIONS.contains(&version)) {
        return Err("wrong-type:manifest_version".to_owned());
    }
    let text = |key| root.text_of(key).map(ToOwned::to_owned);
    draft.server.title = text("display_name");
    draft.server.description = text("description");
    draft.server.version = text("version");
    let config = root
        .get("server")
        .and_then(|server| server.get("mcp_config"))
        .ok_or("missing:server.mcp_config")?;
    let options = root.get("user_config").map(Node::members).unwrap_or_default();
    for (key, option) in options {
        draft.input(option_input(key, option));
    }
    for (name, value) in text_map(config, "env")? {
        let filled = fill(&mut draft, value, options, Place::Text);
        draft.plain_env(name, filled);
    }
    let program = string(config, "command")?.ok_or("missing:command")?;
    let program = fill(&mut draft, program, options, Place::Text);
    let args = strings(config, "args")?.unwrap_or_default();
    let args = args
        .iter()
        .map(|arg| fill(&mut draft, arg, options, Place::Argument))
        .collect();
    command::read(&mut draft, program, args, None);
    draft.server.warnings.retain(|warning| warning != "local-path");
    platforms(&mut draft, config, options);
    draft.finish()
}

fn option_input(key: &str, option: &Node) -> Input {
    let text = |key| option.text_of(key).map(ToOwned::to_owned);
    let number = |key| option.get(key).map(Node::to_json);
    Input {
        name: key.to_owned(),
        secret: option.flag("sensitive").unwrap_or_else(|| is_secret_name(key)),
        required: option.flag("required") == Some(true),
        source: "user",
        default: number("default"),
        format: text("type").filter(|kind| kind != "string"),
        repeated: option.flag("multiple") == Some(true),
        title: text("title"),
        description: text("description"),
        min: number("min"),
        max: number("max"),
        ..Input::default()
    }
}

/// Where a placeholder stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Argument,
    Text,
}

/// Fills in what the bundle's runner fills in.
fn fill(draft: &mut Draft, text: &str, options: &[(String, Node)], place: Place) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(end) = rest.find('}') else { break };
        let (whole, name) = (&rest[..=end], &rest[2..end]);
        let filled = match name {
            "__dirname" => Some(client(draft, "bundle")),
            "HOME" | "DESKTOP" | "DOCUMENTS" | "DOWNLOADS" => Some(client(draft, name)),
            "pathSeparator" | "/" => Some("/".to_owned()),
            _ => name.strip_prefix("user_config.").and_then(|key| {
                let (_, option) = options.iter().find(|(known, _)| known == key)?;
                let is_list = option.flag("multiple") == Some(true);
                if is_list && (place == Place::Text || whole != text) {
                    draft.warn(format!("list-in-text:{key}"));
                }
                Some(format!("<<{key}>>"))
            }),
        };
        match filled {
            Some(filled) => out.push_str(&filled),
            None => {
                draft.warn("not-expanded");
                out.push_str(whole);
            }
        }
        rest = &rest[end + 1..];
    }
    out.push_str(rest);
    out
}

/// A folder that the bundle's runner knows.
fn client(draft: &mut Draft, name: &str) -> String {
    draft.input(Input {
        name: name.to_owned(),
        required: true,
        source: "client",
        ..Input::default()
    })
}

fn platforms(draft: &mut Draft, config: &Node, options: &[(String, Node)]) {
    for (platform, overrides) in config.get("platform_overrides").map(Node::members).unwrap_or_default() {
        let mut filled = Map::new();
        for (key, value) in overrides.members() {
            let value = match value {
                Node::Text(text) => Value::String(fill(draft, text, options, Place::Text)),
                Node::List(items) => {
                    let texts = items.iter().filter_map(Node::text);
                    texts
                        .map(|text| Value::String(fill(draft, text, options, Place::Argument)))
                        .collect()
                }
                Node::Map(members) => {
                    let mut map = Map::new();
                    for (name, value) in members {
                        if let Some(text) = value.text() {
                            map.insert(name.clone(), fill(draft, text, options, Place::Text).into());
                        }
                    }
                    Value::Object(map)
                }
                other => other.to_json(),
            };
            filled.insert(key.clone(), value);
        }
        draft.server.platforms.insert(platform.clone(), Value::Object(filled));
    }
}
