//! Continue: its YAML, and the JSON files of other clients that it takes.

use super::launch::{HTTP, Kind, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::{Found, enclosed};
use crate::{Error, Input, InputSource, Reason, TransportKind};

const TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("streamable-http", HTTP), ("sse", SSE)];

/// The names in JSON files.
const JSON_TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("http", HTTP), ("sse", SSE)];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let mut fatal = false;
    match root.get("mcpServers") {
        Some(node) if node.list().is_some() => {
            for (index, node) in node.list().unwrap_or_default().iter().enumerate() {
                let text = |key: &str| node.get(key).and_then(Node::text);
                let name = text("name").or_else(|| text("uses"));
                let name = name.map_or_else(|| format!("mcpServers[{index}]"), str::to_owned);
                let reason = reader.add(&name, node.line, entry(&name, node))?;
                fatal |= reason.is_some_and(|reason| reason != Reason::InClient);
            }
        }
        None if root.get("command").is_some() || root.get("url").is_some() => {
            // A single server, which Continue names by the file.
            let name = root.get("name").and_then(Node::text).unwrap_or("server");
            fatal = reader.add(name, root.line, json_entry(name, root))?.is_some();
        }
        servers => {
            fatal = !reader.add_map(servers, json_entry)?.is_empty();
            for (folder, project) in root.get("projects").and_then(Node::map).unwrap_or_default() {
                let scoped = |name: &str, node: &Node| {
                    let mut draft = json_entry(name, node)?;
                    draft.server.scope = Some(folder.clone());
                    Ok(draft)
                };
                fatal |= !reader.add_map(project.get("mcpServers"), scoped)?.is_empty();
            }
        }
    }
    reader.refuses(fatal, root.line);
    Ok(())
}

/// `${{ secrets.V }}` and `${{ inputs.V }}`.
fn scan(text: &str) -> Option<(usize, Found)> {
    let (inner, length) = enclosed(text, "${{", "}}")?;
    let found = match inner.trim().split_once('.')? {
        ("secrets", name) if !name.is_empty() => Found::input(Input::new(name, InputSource::SecretStore), Some(true)),
        ("inputs", name) if !name.is_empty() => Found::input(Input::new(name, InputSource::Prompt), None),
        _ => return None,
    };
    Some((length, found))
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    if node.get("uses").is_some() {
        return Err(Reason::InClient);
    }
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    fields.required("name")?;
    let rules = Rules {
        headers: false,
        ..Rules::new(TYPES, Untyped::Guessed(TransportKind::Either), &scan)
    };
    let remote = fields.has("url") && !fields.has("command");
    rules.read(&mut draft, &mut fields)?;
    if remote {
        if let Some(mut options) = fields.fields("requestOptions")? {
            for (name, value) in options.text_map("headers", false)? {
                draft.header(&name, &value, &scan)?;
            }
            draft.ignore(options.unread());
        }
        if let Some(key) = fields.text("apiKey")? {
            draft.header("Authorization", &format!("Bearer {key}"), &scan)?;
        }
    }
    draft.server.timeouts.start = fields.time("connectionTimeout", 1.0)?;
    draft.ignore(fields.unread());
    Ok(draft)
}

fn json_entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    fields.skip(&["name"]);
    Rules::new(JSON_TYPES, Untyped::Guessed(TransportKind::Either), &scan).read(&mut draft, &mut fields)?;
    draft.ignore(fields.unread());
    Ok(draft)
}
