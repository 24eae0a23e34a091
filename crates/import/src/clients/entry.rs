//! What the entries of most clients have in common.

use crate::{
    draft::{Draft, Reason},
    model::ImportedServer,
    node::Node,
    placeholder::Syntax,
    string, strings, text_map,
};

/// Reads the entries of a map.
pub(super) fn each(
    servers: Option<&Node>,
    found: &mut crate::Found,
    read: impl Fn(&str, &Node) -> Result<ImportedServer, Reason>,
) {
    for (name, entry) in servers.map(Node::members).unwrap_or_default() {
        let read = if entry.is_map() {
            read(name, entry)
        } else {
            Err("wrong-type:".to_owned() + name)
        };
        found.add(name, read);
    }
}

/// Begins a server with its environment.
pub(super) fn begin(name: &str, syntax: Syntax) -> Draft {
    Draft::new(name, syntax)
}

/// Reads program, arguments, environment and folder.
pub(super) fn command(draft: &mut Draft, entry: &Node, env: &str, cwd: Option<&str>) -> Result<(), Reason> {
    let program = string(entry, "command")?.ok_or("missing:command")?;
    let args = strings(entry, "args")?.unwrap_or_default();
    for (name, value) in text_map(entry, env)? {
        draft.env(name, value);
    }
    let cwd = match cwd {
        Some(key) => string(entry, key)?,
        None => None,
    };
    crate::command::start(draft, program, &args, cwd);
    Ok(())
}

/// Reads URL and headers.
pub(super) fn remote(draft: &mut Draft, entry: &Node, url: &str, transport: &'static str) -> Result<(), Reason> {
    let url = string(entry, url)?.ok_or_else(|| format!("missing:{url}"))?;
    for (name, value) in text_map(entry, "headers")? {
        draft.header(name, value);
    }
    draft.url(url, transport);
    Ok(())
}

/// Returns the number under `key`, times `factor`, as milliseconds.
pub(super) fn milliseconds(entry: &Node, key: &str, factor: f64) -> Option<u64> {
    let number = entry.get(key)?.number()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before")]
    (0.0..1e12).contains(&number).then(|| (number * factor).round() as u64)
}

/// Returns a list that is absent if it is empty.
pub(super) fn some_texts(entry: &Node, key: &str) -> Vec<String> {
    entry.texts(key).unwrap_or_default()
}
