//! The cells: client, server, revision and expected result.

use anyhow::{Context, Result};

/// One run of the suite.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) name: &'static str,
    pub(super) scenarios: Scenarios,
    pub(super) target: Target,
    pub(super) rule: Rule,
}

/// The scenarios of a cell and their protocol version.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scenarios {
    /// The scenarios that this revision requires, and those that it only reports.
    Required(&'static str),
    /// All scenarios of this revision, which has no list of required ones.
    All(&'static str),
}

/// The target of the suite.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The fixture server.
    Direct(Upstream),
    /// The gateway in front of the fixture server.
    Gateway(Upstream),
    /// The gateway as the suite's client.
    Client,
}

/// The options of the fixture server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Upstream(pub(super) &'static [&'static str]);

/// The expected result.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// This number of checks passes, and none fails.
    Exactly(usize),
    /// Every check has the result of that cell, except for expected differences.
    Equals(&'static str),
    /// No check has a worse result than in that cell, and more of them pass.
    Beats(&'static str),
    /// No check fails, except for expected ones.
    NoFailure,
    /// Any result: the cell is only a baseline.
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

/// Short names of the four pairings of eras, the client's first.
const PAIRINGS: [(&str, &str); 4] = [
    ("legacy-legacy", "2025-11-25-on-legacy"),
    ("legacy-modern", "2025-11-25-on-modern"),
    ("modern-legacy", "2026-07-28-on-legacy"),
    ("modern-modern", "2026-07-28-on-modern"),
];

/// Returns the cell of this name or pairing.
pub(super) fn named(name: &str) -> Result<&'static Cell> {
    let pairing = PAIRINGS.iter().find(|(short, _)| *short == name);
    let full = pairing.map_or(name, |(_, full)| full);
    let found = CELLS.iter().find(|cell| cell.name == full);
    found.with_context(|| format!("no cell named {name:?}: `cargo xtask conformance --list` shows them"))
}

impl Cell {
    /// Returns the runner's name of the tested role.
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

    /// Returns the runner's arguments.
    pub(super) fn args(self) -> Vec<&'static str> {
        match self {
            Required(revision) => vec!["--requirements", revision],
            All(revision) => vec!["--suite", "all", "--spec-version", revision],
        }
    }
}
