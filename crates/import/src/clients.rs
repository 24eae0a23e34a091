//! Configurations of clients.

mod codex;
mod continuedev;
mod editors;
mod entry;
mod gemini;
mod goose;
mod librechat;
mod mcp_servers;
mod opencode;
mod zed;

use crate::{Found, format::Format, node::Node};

/// Reads the servers of a client's configuration.
pub(crate) fn read(format: Format, name: &str, root: &Node, found: &mut Found) {
    match format {
        Format::Codex => codex::read(root, found),
        Format::Continue => continuedev::read(root, name, found),
        Format::Vscode => editors::vscode(root, found),
        Format::Cursor => editors::cursor(root, found),
        Format::Windsurf => editors::windsurf(root, found),
        Format::Cline => editors::cline(root, found),
        Format::Roo => editors::roo(root, found),
        Format::Gemini => gemini::read(root, found),
        Format::Goose => goose::read(root, found),
        Format::LibreChat => librechat::read(root, found),
        Format::Opencode => opencode::read(root, found),
        Format::Zed => zed::read(root, found),
        Format::Copilot => mcp_servers::copilot(root, found),
        _ => mcp_servers::claude(root, found),
    }
    let refuses = matches!(
        format,
        Format::Codex | Format::Cline | Format::Opencode | Format::Continue
    );
    if refuses && found.rejected.iter().any(|entry| is_fatal(format, &entry.reason)) {
        found.warn("client-refuses-file");
    }
}

/// Returns whether an entry that is rejected for this reason keeps its client from loading the file.
fn is_fatal(format: Format, reason: &str) -> bool {
    match reason.split(':').next().unwrap_or_default() {
        "in-client" => false,
        // Of opencode, an entry that only switches an inherited one.
        "no-launch" => format != Format::Opencode,
        _ => true,
    }
}
