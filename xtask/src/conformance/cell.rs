//! The cells: who runs against what, and what must come out.

use anyhow::{Context, Result};

/// One run of the suite.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) scenarios: Scenarios,
    pub(super) target: Target,
    pub(super) rule: Rule,
}

/// Which scenarios run, and at which version of the protocol.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scenarios {
    /// Those that this revision requires, and those that it only reports.
    Required(&'static str),
    /// All that apply to this revision, which has no list of required ones.
    All(&'static str),
}

/// What the suite runs against.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// Our fixture server.
    Direct(Upstream),
    /// The gateway, with our fixture server behind it.
    Gateway(Upstream),
    /// The gateway in the role of the client; the suite is the server.
    Client,
}

/// How the fixture server is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstream(pub(super) &'static [&'static str]);

/// What must come out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// So many checks pass, and none fails.
    Exactly(usize),
    /// Every check comes out as in that cell, but for the expected differences.
    Equals(&'static str),
    /// No check comes out worse than in that cell, and more of them pass.
    Beats(&'static str),
    /// No check fails, but for the expected ones.
    NoFailure,
    /// Anything: the cell is only compared with.
    Shown,
}

const BOTH: Upstream = Upstream(&["--era", "both"]);
const LEGACY: Upstream = Upstream(&["--era", "legacy"]);
const UNRESUMABLE: Upstream = Upstream(&["--era", "legacy", "--no-resume"]);
const MODERN: Upstream = Upstream(&["--era", "modern"]);
const IMPERFECT: Upstream = Upstream(&["--era", "modern", "--imperfect"]);

const fn cell(name: &'static str, scenarios: Scenarios, target: Target, rule: Rule) -> Cell {
    Cell {
        name,
        scenarios,
        target,
        rule,
    }
}

use self::Rule::{Beats, Equals, Exactly, NoFailure, Shown};
use self::Scenarios::{All, Required};
use self::Target::{Client, Direct, Gateway};

#[rustfmt::skip]
pub(super) const CELLS: &[Cell] = &[
    cell("direct-2025-03-26", All("2025-03-26"), Direct(BOTH), Exactly(3)),
    cell("direct-2025-06-18", All("2025-06-18"), Direct(BOTH), Exactly(56)),
    cell("direct-2025-11-25", Required("2025-11-25"), Direct(BOTH), Exactly(84)),
    cell("direct-2026-07-28", Required("2026-07-28"), Direct(BOTH), Exactly(197)),

    cell("2025-03-26-on-legacy", All("2025-03-26"), Gateway(LEGACY), Equals("direct-2025-03-26")),
    cell("2025-06-18-on-legacy", All("2025-06-18"), Gateway(LEGACY), Equals("direct-2025-06-18")),
    cell("2025-11-25-on-legacy", Required("2025-11-25"), Gateway(LEGACY), Equals("direct-2025-11-25")),
    cell("2026-07-28-on-modern", Required("2026-07-28"), Gateway(MODERN), Equals("direct-2026-07-28")),

    cell("2025-06-18-on-modern", All("2025-06-18"), Gateway(MODERN), Equals("direct-2025-06-18")),
    cell("2025-11-25-on-modern", Required("2025-11-25"), Gateway(MODERN), Equals("direct-2025-11-25")),
    cell("2026-07-28-on-legacy", Required("2026-07-28"), Gateway(LEGACY), Equals("direct-2026-07-28")),
    cell("2026-07-28-on-legacy-unresumable", Required("2026-07-28"), Gateway(UNRESUMABLE), Equals("2026-07-28-on-legacy")),

    cell("imperfect-direct", Required("2026-07-28"), Direct(IMPERFECT), Shown),
    cell("imperfect-gateway", Required("2026-07-28"), Gateway(IMPERFECT), Beats("imperfect-direct")),

    cell("client-2025-11-25", Required("2025-11-25"), Client, NoFailure),
    cell("client-2026-07-28", Required("2026-07-28"), Client, NoFailure),
];

/// Short names for the four pairings of eras: the client's first.
const PAIRINGS: [(&str, &str); 4] = [
    ("legacy-legacy", "2025-11-25-on-legacy"),
    ("legacy-modern", "2025-11-25-on-modern"),
    ("modern-legacy", "2026-07-28-on-legacy"),
    ("modern-modern", "2026-07-28-on-modern"),
];

/// The cell of this name, or of this pairing.
pub(super) fn named(name: &str) -> Result<&'static Cell> {
    let pairing = PAIRINGS.iter().find(|(short, _)| *short == name);
    let full = pairing.map_or(name, |(_, full)| full);
    let found = CELLS.iter().find(|cell| cell.name == full);
    found.with_context(|| format!("no cell named {name:?}: `cargo xtask conformance --list` shows them"))
}

impl Cell {
    /// What the runner calls the role that is tested.
    pub(super) fn role(&self) -> &'static str {
        match self.target {
            Client => "client",
            Direct(_) | Gateway(_) => "server",
        }
    }
}

impl Scenarios {
    pub(super) fn revision(self) -> &'static str {
        match self {
            Required(revision) | All(revision) => revision,
        }
    }

    /// The runner's arguments.
    pub(super) fn args(self) -> Vec<&'static str> {
        match self {
            Required(revision) => vec!["--requirements", revision],
            All(revision) => vec!["--suite", "all", "--spec-version", revision],
        }
    }
}
