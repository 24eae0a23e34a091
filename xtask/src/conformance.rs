//! `cargo xtask conformance`: runs the official suite directly against the fixture server and through the gateway.

mod cell;
mod checks;
mod compare;
mod document;
mod expected;
mod processes;
mod programs;
mod report;
mod required;
mod runner;
mod select;
mod verdict;

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use self::cell::{CELLS, Cell, Rule};
use self::checks::Checks;
use self::programs::Programs;
use self::select::Selection;
use self::verdict::Verdict;
use crate::report::Outcome;

/// Runs the selected cells; returns whether each has the expected result.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let selection = Selection::parse(args)?;
    if selection.list {
        report::list();
        return Ok(true);
    }
    let programs = Programs::prepare(&selection.cells())?;
    if let Some(scenario) = &selection.scenario {
        let mut passed = true;
        for cell in selection.cells() {
            passed &= runner::one(&programs, cell, scenario)?;
        }
        return Ok(passed);
    }
    let results = Results::of(&programs, selection.cells());
    report::print(&results);
    if selection.is_everything() {
        document::write(&programs, &results)?;
    }
    Ok(results.0.iter().all(|(_, verdict)| verdict.holds()))
}

/// Runs all cells as a part of the test command.
pub(crate) fn part(outcome: &mut Outcome) -> Result<()> {
    let cells: Vec<&Cell> = CELLS.iter().collect();
    let programs = Programs::prepare(&cells).context("the conformance runner could not be prepared")?;
    let results = Results::of(&programs, cells);
    report::print(&results);
    document::write(&programs, &results)?;
    for (cell, verdict) in &results.0 {
        outcome.check(&format!("conformance, {}", cell.name), || verdict.check());
    }
    Ok(())
}

/// The verdict of each cell, in order.
struct Results(Vec<(&'static Cell, Verdict)>);

impl Results {
    fn of(programs: &Programs, cells: Vec<&'static Cell>) -> Self {
        let mut done = Done::default();
        let verdicts = cells.into_iter().map(|cell| {
            let verdict = done.judge(programs, cell);
            (cell, verdict.unwrap_or_else(|error| Verdict::broken(&error)))
        });
        Self(verdicts.collect())
    }
}

/// The results so far: a baseline runs once for all cells that are compared with it.
#[derive(Default)]
struct Done(BTreeMap<&'static str, Checks>);

impl Done {
    fn judge(&mut self, programs: &Programs, cell: &'static Cell) -> Result<Verdict> {
        let baseline = match cell.rule {
            Rule::Equals(name) | Rule::Beats(name) => Some(self.checks(programs, cell::named(name)?)?.clone()),
            Rule::Exactly(_) | Rule::NoFailure | Rule::Shown => None,
        };
        let checks = self.checks(programs, cell)?;
        Verdict::of(programs, cell, checks, baseline.as_ref())
    }

    fn checks(&mut self, programs: &Programs, cell: &'static Cell) -> Result<&Checks> {
        if !self.0.contains_key(cell.name) {
            self.0.insert(cell.name, runner::all(programs, cell)?);
        }
        Ok(&self.0[cell.name])
    }
}
