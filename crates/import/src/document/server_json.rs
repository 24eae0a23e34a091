//! The `server.json` of the official registry.

use super::server_packages::package;
use super::server_variables::{key_values, member, scan_variables};
use super::text;
use crate::draft::Draft;
use crate::node::Node;
use crate::{InputSource, Launch, Reason, TransportKind, WarningKind};

/// Returns whether a version is still to be filled in by a release.
pub(super) fn has_placeholder_version(root: &Node) -> bool {
    let unfilled = |value: Option<&str>| value.is_some_and(|value| value.contains("${") || value.contains("{{"));
    let detail = root.get("version_detail").and_then(|detail| text(detail, "version"));
    let packages = root.get("packages").and_then(Node::list).unwrap_or_default();
    unfilled(text(root, "version"))
        || unfilled(detail)
        || packages
            .iter()
            .any(|package| unfilled(text(package, "version")) || unfilled(text(package, "identifier")))
}

pub(super) fn read(root: &Node) -> Result<Draft, Reason> {
    if root.map().is_none() {
        return Err(Reason::NoLaunch);
    }
    let name = text(root, "name").ok_or_else(|| Reason::Missing("name".into()))?;
    let mut draft = Draft::new(name, root.line);
    let mut old = false;
    draft.server.title = text(root, "title").map(str::to_owned);
    draft.server.description = text(root, "description").map(str::to_owned);
    let detail = root.get("version_detail").and_then(|detail| text(detail, "version"));
    old |= detail.is_some();
    draft.server.version = text(root, "version").or(detail).map(str::to_owned);
    launches(&mut draft, root, &mut old)?;
    if old {
        draft.warn(WarningKind::OldForm);
    }
    Ok(draft)
}

/// The first package, or else the first remote, is the launch; all others that can be used are alternatives.
fn launches(draft: &mut Draft, root: &Node, old: &mut bool) -> Result<(), Reason> {
    let list = |key: &str| match root.get(key) {
        None => Ok(&[][..]),
        Some(node) => node.list().ok_or_else(|| Reason::WrongType(key.to_owned())),
    };
    let (mut first_reason, mut done) = (None, false);
    let ways = list("packages")?.iter().map(|node| (node, true));
    for (node, is_package) in ways.chain(list("remotes")?.iter().map(|node| (node, false))) {
        // Each way is tried on a copy, so that one that fails leaves nothing behind.
        let mut attempt = Draft::new(&draft.server.name, node.line);
        let made = match is_package {
            true => package(&mut attempt, node, old),
            false => remote(&mut attempt, node, old, !done),
        };
        match made {
            Err(reason) => {
                first_reason.get_or_insert(reason);
            }
            Ok(()) if done => alternative(draft, attempt),
            Ok(()) => {
                take(draft, attempt);
                done = true;
            }
        }
    }
    match done {
        true => Ok(()),
        false => Err(first_reason.unwrap_or(Reason::NoLaunch)),
    }
}

/// Moves the launch and what belongs to it.
fn take(draft: &mut Draft, attempt: Draft) {
    let (server, from) = (&mut draft.server, attempt.server);
    server.launch = from.launch;
    server.package = from.package;
    server.env = from.env;
    server.headers = from.headers;
    server.inputs = from.inputs;
    server.serves = from.serves;
    server.warnings = from.warnings;
}

/// Keeps the launch, and the inputs that it names.
fn alternative(draft: &mut Draft, attempt: Draft) {
    let from = attempt.server;
    let names: Vec<&str> = match &from.launch {
        Launch::Http { url, .. } | Launch::Bundle { url, .. } => url.inputs().collect(),
        Launch::Stdio { command, args, .. } => command
            .inputs()
            .chain(args.iter().flat_map(|arg| arg.inputs()))
            .collect(),
        Launch::Container {
            image,
            args,
            volumes,
            network,
            user,
        } => {
            let texts = [image]
                .into_iter()
                .chain(args)
                .chain(volumes)
                .chain(network)
                .chain(user);
            texts.flat_map(|text| text.inputs()).collect()
        }
    };
    for input in from.inputs.iter().filter(|input| names.contains(&input.name.as_str())) {
        draft.add_input(input.clone());
    }
    draft.server.alternatives.push(from.launch);
}

pub(super) fn transport(node: &Node, old: &mut bool) -> Result<Option<TransportKind>, Reason> {
    let kind = text(node, "type").or_else(|| member(node, "transportType", old).and_then(Node::text));
    match kind {
        Some("streamable-http" | "streamable") => Ok(Some(TransportKind::StreamableHttp)),
        Some("sse") => Ok(Some(TransportKind::Sse)),
        Some("stdio") | None => Ok(None),
        Some(_) => Err(Reason::UnsupportedTransport),
    }
}

fn remote(draft: &mut Draft, node: &Node, old: &mut bool, headers: bool) -> Result<(), Reason> {
    let transport = transport(node, old)?.ok_or(Reason::TypeMissing)?;
    let url = text(node, "url").ok_or_else(|| Reason::Missing("url".into()))?;
    draft.remote(url, transport, &scan_variables(node.get("variables")))?;
    if headers {
        let list = node.get("headers").and_then(Node::list).unwrap_or_default();
        key_values(draft, list, InputSource::Header, old)?;
    }
    Ok(())
}
