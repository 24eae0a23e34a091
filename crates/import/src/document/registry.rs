//! A `server.json` alone, and the answers of the registry's API.

use super::{server_json, text};
use crate::client::Reader;
use crate::node::Node;
use crate::{Error, Reason, RegistryStatus};

/// The key of what the registry itself says of a record.
const OFFICIAL: &str = "io.modelcontextprotocol.registry/official";

pub(super) fn document(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    if root.get("server").is_some_and(|server| server.map().is_some()) && root.get("name").is_none() {
        return record(reader, root);
    }
    if server_json::has_placeholder_version(root) {
        return Err(Error::PlaceholderInVersion);
    }
    let name = text(root, "name").unwrap_or_default();
    reader.add(name, root.line, server_json::read(root)).map(drop)
}

/// Reads a page, or one record.
pub(super) fn list(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let Some(servers) = root.get("servers") else {
        return record(reader, root);
    };
    let records = servers
        .list()
        .ok_or_else(|| Error::shape(servers.line, "the servers are not a list"))?;
    records.iter().try_for_each(|node| record(reader, node))
}

fn record(reader: &mut Reader, node: &Node) -> Result<(), Error> {
    let server = node.get("server").unwrap_or(node);
    let name = text(server, "name").unwrap_or_default();
    let official = node.get("_meta").and_then(|meta| meta.get(OFFICIAL));
    let status = official.map(|official| RegistryStatus {
        status: text(official, "status").unwrap_or("active").to_owned(),
        message: text(official, "statusMessage").map(str::to_owned),
        latest: official.get("isLatest").and_then(Node::bool).unwrap_or(false),
    });
    let made = match &status {
        Some(status) if status.status == "deleted" => Err(Reason::Deleted),
        _ if server_json::has_placeholder_version(server) => Err(Reason::PlaceholderInVersion),
        _ => server_json::read(server).map(|mut draft| {
            draft.server.registry = status;
            draft
        }),
    };
    reader.add(name, node.line, made).map(drop)
}
