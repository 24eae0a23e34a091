//! Zed.

use super::launch::{OAuthKeys, Rules, Untyped};
use super::reader::Reader;
use crate::draft::Draft;
use crate::fields::Fields;
use crate::local::Local;
use crate::node::Node;
use crate::placeholder::none;
use crate::{Error, Reason, TransportKind, WarningKind};

pub(super) fn read(reader: &mut Reader, root: &Node) -> Result<(), Error> {
    reader.add_map(root.get("context_servers"), entry).map(drop)
}

fn entry(name: &str, node: &Node) -> Result<Draft, Reason> {
    let mut draft = Draft::new(name, node.line);
    let mut fields = Fields::new(node, "")?;
    let extension = fields.text("source")? == Some("extension");
    let launch = fields.has("command") || fields.has("url");
    if extension || (!launch && fields.has("settings")) {
        return Err(Reason::InClient);
    }
    let rules = Rules {
        type_key: None,
        cwd: false,
        ..Rules::new(&[], Untyped::Certain(TransportKind::StreamableHttp), &none)
    };
    match node.get("command").filter(|command| command.map().is_some()) {
        Some(_) if fields.has("url") => return Err(Reason::BothLaunches),
        Some(_) => old_command(&mut draft, &mut fields)?,
        None => rules.read(&mut draft, &mut fields)?,
    }
    draft.server.enabled = fields.bool("enabled")?.unwrap_or(true);
    draft.server.timeouts.call = fields.time("timeout", 1_000.0)?;
    if let Some(mut oauth) = fields.fields("oauth")? {
        let keys = OAuthKeys::client("client_id", "client_secret", "scopes");
        keys.read(&mut draft, &mut oauth, &none)?;
    }
    draft.ignore(fields.unread());
    Ok(draft)
}

/// `command: {path, args, env}`, which Zed migrates on reading.
fn old_command(draft: &mut Draft, fields: &mut Fields<'_>) -> Result<(), Reason> {
    fields.skip(&["settings"]);
    let Some(mut command) = fields.fields("command")? else {
        return Err(Reason::NoLaunch);
    };
    let local = Local {
        command: command.required("path")?.to_owned(),
        args: command.texts("args")?.unwrap_or_default(),
        env: command.text_map("env", false)?,
        cwd: None,
    };
    draft.local(&local, &none)?;
    if let Some(timeout) = command.time("timeout", 1_000.0)? {
        draft.server.timeouts.call = Some(timeout);
    }
    draft.warn(WarningKind::OldForm);
    draft.ignore(command.unread());
    Ok(())
}
