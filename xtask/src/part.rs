//! The parts of the test command, in their order.

mod cluster;
mod deny;
mod dependencies;
mod e2e;
mod fuzz;
mod package;
mod storage;
mod structure;
mod style;
mod unit;

use anyhow::Result;

use crate::conformance;
use crate::report::Outcome;

/// A part of the test command.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Records failures of single checks in the outcome. An error ends the part.
    pub(crate) run: fn(&mut Outcome) -> Result<()>,
}

pub(crate) const PARTS: &[Part] = &[
    Part {
        name: "style",
        what: "formatting, lints, docs, licences, public API, structure, packages",
        run: style::run,
    },
    Part {
        name: "unit",
        what: "unit, contract and doc tests: needs nothing but Rust",
        run: unit::run,
    },
    Part {
        name: "storage",
        what: "the store on real PostgreSQL servers, directly and behind poolers",
        run: storage::run,
    },
    Part {
        name: "e2e",
        what: "real clients and servers through the gateway",
        run: e2e::run,
    },
    Part {
        name: "cluster",
        what: "servers on a real Kubernetes node",
        run: cluster::run,
    },
    Part {
        name: "conformance",
        what: "the official suite, directly and through the gateway",
        run: conformance::part,
    },
    Part {
        name: "fuzz",
        what: "each fuzz target for a few seconds",
        run: fuzz::run,
    },
];
