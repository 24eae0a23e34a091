//! No circle between the modules of a library crate, and bounds on its files and functions.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};

use crate::report::Outcome;
use crate::structure::{self, Graph, Source, too_long};
use crate::workspace::Workspace;

/// Circles that are left, each as the rooms that use each other. This list only gets shorter.
const CIRCLES: &[(&str, &[&str])] = &[(
    "portolan-client",
    &[
        "call",
        "call_timeout",
        "cancel_on_drop",
        "catalog",
        "collect",
        "conversation",
        "conversion",
        "in_flight",
        "notifications",
        "server",
        "session",
        "stdio",
        "steps",
        "streamable_http",
    ],
)];

/// Rooms that none may use: kits for tests, which see all others.
const TOPS: &[(&str, &str)] = &[
    ("portolan-client", "fuzzing"),
    ("portolan-core", "conformance"),
    ("portolan-gateway", "fuzzing"),
];

/// Files and functions that are still too long, as `file` or `file function`. This list only gets shorter.
const LONG: &[(&str, &str)] = &[
    ("portolan-client", "stdio.rs call"),
    ("portolan-client", "streamable_http.rs call"),
    ("portolan-client", "streamable_http/handshake.rs handshake"),
    ("portolan-client", "streamable_http/prepare.rs prepare"),
];

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    for library in Workspace::read()?.library_sources() {
        let sources = structure::read(&library.src)?;
        let graph = Graph::new(&sources);
        let name = &library.name;
        outcome.check(&format!("{name} has no circle between its modules"), || {
            circles(&graph, &known(CIRCLES, name))?;
            tops(&graph, &known(TOPS, name))
        });
        outcome.check(&format!("{name} has short files and functions"), || {
            long(&sources, &known(LONG, name))
        });
    }
    Ok(())
}

/// What a list says of this crate.
fn known<T: Copy>(list: &[(&str, T)], library: &str) -> Vec<T> {
    list.iter()
        .filter(|(name, _)| *name == library)
        .map(|(_, value)| *value)
        .collect()
}

fn circles(graph: &Graph, known: &[&[&str]]) -> Result<()> {
    let circles = graph.circles();
    for circle in &circles {
        let is_known = known.iter().any(|known| circle.iter().all(|room| known.contains(room)));
        ensure!(is_known, "{}", structure::describe(graph, circle));
    }
    let left: BTreeSet<&str> = circles.into_iter().flatten().collect();
    for room in known.iter().copied().flatten() {
        ensure!(
            left.contains(room),
            "{room} is in no circle any more: take it off the list CIRCLES in xtask/src/part/structure.rs"
        );
    }
    Ok(())
}

fn tops(graph: &Graph, tops: &[&str]) -> Result<()> {
    for (name, room) in &graph.rooms {
        if let Some((top, arrow)) = room.uses.iter().find(|(to, _)| tops.contains(&to.as_str())) {
            bail!("{top} is for tests, so none may use it; {name} does: {}", arrow.example);
        }
    }
    Ok(())
}

fn long(sources: &[Source], known: &[&str]) -> Result<()> {
    let found: Vec<(String, usize, usize)> = sources.iter().flat_map(too_long).collect();
    let new: Vec<String> = found
        .iter()
        .filter(|(what, ..)| !known.contains(&what.as_str()))
        .map(|(what, lines, limit)| format!("{what} has {lines} lines, more than {limit}"))
        .collect();
    ensure!(new.is_empty(), "{}", new.join("\n"));
    for one in known {
        ensure!(
            found.iter().any(|(what, ..)| what == one),
            "{one} is short now: take it off the list LONG in xtask/src/part/structure.rs"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::structure::{FILE_LINES, FUNCTION_LINES};

    fn graph(files: &[(&str, &str)]) -> Graph {
        let sources: Vec<Source> = files
            .iter()
            .map(|(name, text)| Source::parse(format!("{name}.rs"), vec![(*name).to_owned()], text).unwrap())
            .collect();
        Graph::new(&sources)
    }

    #[test]
    fn only_listed_circles_pass() {
        let graph = graph(&[("a", "use crate::b::X;"), ("b", "use crate::a::X;"), ("c", "")]);
        assert!(circles(&graph, &[&["a", "b"]]).is_ok());
        assert!(
            circles(&graph, &[])
                .unwrap_err()
                .to_string()
                .contains("a.rs:1 crate::b::X")
        );
        assert!(
            circles(&graph, &[&["a", "b", "c"]])
                .unwrap_err()
                .to_string()
                .starts_with("c is in no circle")
        );
    }

    #[test]
    fn nothing_uses_a_top() {
        let graph = graph(&[("a", "use crate::b::X;"), ("b", "")]);
        assert!(tops(&graph, &["a"]).is_ok());
        assert!(tops(&graph, &["b"]).is_err());
    }

    #[test]
    fn long_code_is_refused() {
        let function = format!("fn f() {{{}}}", "\n".repeat(FUNCTION_LINES));
        let text = format!("{function}{}", "\n".repeat(FILE_LINES));
        let sources = [Source::parse("a.rs", vec!["a".to_owned()], &text).unwrap()];
        assert!(long(&sources, &["a.rs", "a.rs f"]).is_ok());
        assert!(long(&sources, &["a.rs"]).is_err());
        assert!(long(&sources, &["a.rs f"]).is_err());
        assert!(long(&sources, &["a.rs", "a.rs f", "a.rs g"]).is_err());
    }
}
