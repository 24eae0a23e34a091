//! `cargo xtask test`: runs all checks and tests that a change must pass.

use std::time::Instant;

use anyhow::Result;

use crate::part::PARTS;
use crate::report::{self, Outcome, Row};
use crate::select::Selection;

/// Runs the selected parts in order, each to its end; returns whether all passed.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let names: Vec<&str> = PARTS.iter().map(|part| part.name).collect();
    let selection = Selection::parse(args, &names)?;
    if selection.list {
        for part in PARTS {
            println!("{:<14}{}", part.name, part.what);
        }
        return Ok(true);
    }
    let mut rows = Vec::new();
    for part in PARTS.iter().filter(|part| selection.includes(part.name)) {
        println!("\n==== {}: {}", part.name, part.what);
        let start = Instant::now();
        let mut outcome = Outcome::default();
        if let Err(error) = (part.run)(&mut outcome) {
            outcome.fail(&format!("{error:#}"));
        }
        rows.push(Row {
            part: part.name,
            outcome,
            time: start.elapsed(),
        });
    }
    anyhow::ensure!(!rows.is_empty(), "no part is left to run");
    Ok(report::print(&rows))
}
