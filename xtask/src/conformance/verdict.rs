//! The verdict on the results of a cell.

use anyhow::{Result, bail};

use super::cell::{Cell, Rule, Scenarios};
use super::checks::{Checks, Tally};
use super::compare::{Difference, differences};
use super::expected::{self, Entry};
use super::programs::Programs;
use super::required;

/// The verdict on a cell.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The counts of all checks; `None` if the cell could not be run.
    pub(super) all: Option<Tally>,
    /// Passed scored checks and their number; `None` if the revision scores none.
    pub(super) scored: Option<(usize, usize)>,
    /// Unexpected differences.
    pub(super) unexpected: Vec<Difference>,
    /// Expected differences.
    pub(super) expected: Vec<Entry>,
    /// Expected differences that did not occur.
    pub(super) stale: Vec<Entry>,
    /// Other faults.
    pub(super) faults: Vec<String>,
}

impl Verdict {
    pub(super) fn of(programs: &Programs, cell: &Cell, checks: &Checks, baseline: Option<&Checks>) -> Result<Self> {
        let found = match cell.rule {
            Rule::Shown => Vec::new(),
            _ => differences(checks, baseline),
        };
        let mut verdict = Self::sort(found, expected::of(cell.name, cell.role())?);
        let all = checks.sum(|_| true);
        match (cell.rule, baseline) {
            (Rule::Exactly(passed), _) if all.passed != passed => {
                verdict
                    .faults
                    .push(format!("{} checks passed instead of {passed}", all.passed));
            }
            (Rule::Beats(other), Some(baseline)) if all.passed <= baseline.sum(|_| true).passed => {
                verdict.faults.push(format!("no more checks passed than in {other}"));
            }
            _ => {}
        }
        verdict.all = Some(all);
        if let Scenarios::Required(revision) = cell.scenarios {
            let required = required::scenarios(&programs.requirements(revision), cell.role())?;
            let scored = |checks: &Checks| checks.sum(|scenario| required.contains(scenario));
            // Checks that were not reached count as well.
            let total = |checks: &Checks| scored(checks).passed + scored(checks).bad();
            let most = baseline.map_or(0, total).max(total(checks));
            verdict.scored = Some((scored(checks).passed, most));
        }
        Ok(verdict)
    }

    /// Returns the verdict on a cell that could not be run.
    pub(super) fn broken(error: &anyhow::Error) -> Self {
        Self {
            faults: vec![format!("{error:#}")],
            ..Self::default()
        }
    }

    fn sort(found: Vec<Difference>, entries: Vec<Entry>) -> Self {
        let (expected, stale) = entries
            .into_iter()
            .partition(|entry| found.iter().any(|difference| entry.covers(difference)));
        let expected: Vec<Entry> = expected;
        let mut unexpected = found;
        unexpected.retain(|difference| !expected.iter().any(|entry| entry.covers(difference)));
        Self {
            unexpected,
            expected,
            stale,
            ..Self::default()
        }
    }

    pub(super) fn holds(&self) -> bool {
        self.unexpected.is_empty() && self.stale.is_empty() && self.faults.is_empty()
    }

    /// Returns an error with the number of faults.
    pub(super) fn check(&self) -> Result<()> {
        if self.holds() {
            return Ok(());
        }
        let mut wrong = self.faults.clone();
        if !self.unexpected.is_empty() {
            wrong.push(format!("{} unexpected differences", self.unexpected.len()));
        }
        if !self.stale.is_empty() {
            wrong.push(format!("{} stale expectations", self.stale.len()));
        }
        bail!("{}", wrong.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_met_or_stale() {
        let difference = Difference {
            scenario: "a".into(),
            check: "b".into(),
            word: "failed".into(),
        };
        let verdict = Verdict::sort(vec![difference.clone()], Vec::new());
        assert_eq!(verdict.unexpected, [difference]);
        assert!(!verdict.holds());
        assert!(verdict.check().is_err());
    }
}
