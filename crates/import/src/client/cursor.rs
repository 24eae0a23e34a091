//! Cursor.

use super::launch::{HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::node::Node;
use crate::placeholder::editor;
use crate::{Error, Reason, TransportKind, WarningKind};

const TYPES: &[(&str, Kind)] = &[
    ("stdio", STDIO),
    ("http", HTTP),
    ("streamable-http", HTTP),
    ("streamableHttp", HTTP),
    ("sse", SSE),
];

/// The names of Cursor's variables.
const CLIENT: &[&str] = &[
    "userHome",
    "workspaceFolder",
    "workspaceFolderBasename",
    "pathSeparator",
    "/",
];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("mcpServers"), entry).map(drop)
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let scan = editor(CLIENT);
    Rules::new(TYPES, Untyped::Guessed(TransportKind::Either), &scan).read(&mut draft, &mut fields)?;
    env_file(&mut draft, &mut fields)?;
    client_variables(&mut draft);
    if let Some(mut auth) = fields.fields("auth")? {
        let keys = OAuthKeys::client("CLIENT_ID", "CLIENT_SECRET", "scopes");
        keys.read(&mut draft, &mut auth, &scan)?;
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

/// Warns of a file of environment variables.
pub(super) fn env_file(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    if fields.text("envFile")?.is_some() {
        draft.warn(WarningKind::EnvFile);
    }
    Ok(())
}

/// Warns if a value is asked for that only the client knows.
pub(super) fn client_variables(draft: &mut Draft) {
    let known = |input: &crate::Input| input.source == crate::InputSource::Client;
    if draft.server.inputs.iter().any(known) {
        draft.warn(WarningKind::ClientVariable);
    }
}
