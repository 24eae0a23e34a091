//! Cline.

use super::launch::{HTTP, Kind, OAuthKeys, Rules, SSE, STDIO, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::{Fields, millis};
use crate::node::Node;
use crate::placeholder::editor;
use crate::{Error, Reason, TransportKind, WarningKind};

const TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("streamableHttp", HTTP), ("sse", SSE)];

/// The names of the older `transportType`.
const OLD_TYPES: &[(&str, Kind)] = &[("stdio", STDIO), ("http", HTTP), ("streamableHttp", HTTP), ("sse", SSE)];

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    let reasons = reader.add_map(root.get("mcpServers"), entry)?;
    reader.refuses(!reasons.is_empty(), root.line);
    Ok(())
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let scan = editor(&[]);
    let old = !fields.has("type") && fields.has("transportType");
    let rules = Rules {
        type_key: Some(if old { "transportType" } else { "type" }),
        ..Rules::new(
            if old { OLD_TYPES } else { TYPES },
            Untyped::Guessed(TransportKind::Sse),
            &scan,
        )
    };
    match fields.fields("transport")? {
        Some(mut nested) => {
            rules.read(&mut draft, &mut nested)?;
            draft.ignore(nested.unread());
        }
        None => rules.read(&mut draft, &mut fields)?,
    }
    draft.server.enabled = !fields.bool("disabled")?.unwrap_or(false);
    draft.server.tools.unasked = fields.texts("autoApprove")?.unwrap_or_default();
    timeout(&mut draft, &mut fields);
    if let Some(mut oauth) = fields.fields("oauthClient")? {
        let keys = OAuthKeys::client("clientId", "clientSecret", "scopes");
        keys.read(&mut draft, &mut oauth, &scan)?;
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

/// Seconds, which Cline clamps to 1–3,600. It ignores anything that is no number.
fn timeout(draft: &mut Draft, fields: &mut Fields<'_>) {
    let Some(node) = fields.node("timeout") else { return };
    let Some(seconds) = node.number() else {
        draft.warn_at(WarningKind::IgnoredKey("timeout".into()), node.line);
        return;
    };
    let clamped = seconds.clamp(1.0, 3_600.0);
    if clamped.total_cmp(&seconds).is_ne() {
        draft.warn_at(WarningKind::TimeoutClamped, node.line);
    }
    draft.server.timeouts.call = Some(millis(clamped * 1_000.0));
}
