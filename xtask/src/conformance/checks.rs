//! The runner's results: every check of every scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The checks of a run, by scenario and check id. An id may occur several times in a scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checks(pub(super) BTreeMap<String, BTreeMap<String, Tally>>);

/// The results of the checks of one id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) warned: usize,
    pub(super) skipped: usize,
    /// The runner's message about the first check that did not pass.
    pub(super) word: Option<String>,
}

impl Checks {
    /// Reads every `checks.json` below a folder.
    pub(super) fn read(folder: &Path, role: &str) -> Result<Self> {
        let mut checks = Self::default();
        let prefix = if role == "server" { "server-" } else { "" };
        checks.walk(folder, folder, prefix)?;
        ensure!(
            !checks.0.is_empty(),
            "the runner left no results in {}",
            folder.display()
        );
        Ok(checks)
    }

    fn walk(&mut self, base: &Path, folder: &Path, prefix: &str) -> Result<()> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Ok(());
        };
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                self.walk(base, &path, prefix)?;
            } else if path.ends_with("checks.json") {
                let place = folder.strip_prefix(base)?.to_string_lossy();
                let scenario = scenario(&place, prefix).with_context(|| format!("no scenario in {place:?}"))?;
                self.add(scenario, &serde_json::from_slice(&fs::read(&path)?)?);
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, scenario: &str, list: &Value) {
        let tallies = self.0.entry(scenario.to_owned()).or_default();
        for check in list.as_array().into_iter().flatten() {
            let id = check["id"].as_str().unwrap_or("without-id");
            tallies.entry(id.to_owned()).or_default().count(check);
        }
    }

    /// Returns the sum over the scenarios that `counts` accepts.
    pub(super) fn sum(&self, counts: impl Fn(&str) -> bool) -> Tally {
        let mut sum = Tally::default();
        let counted = self.0.iter().filter(|(scenario, _)| counts(scenario));
        for tally in counted.flat_map(|(_, tallies)| tallies.values()) {
            sum.passed += tally.passed;
            sum.failed += tally.failed;
            sum.warned += tally.warned;
            sum.skipped += tally.skipped;
        }
        sum
    }
}

impl Tally {
    pub(super) fn bad(&self) -> usize {
        self.failed + self.warned
    }

    fn count(&mut self, check: &Value) {
        match check["status"].as_str() {
            Some("SUCCESS") => return self.passed += 1,
            Some("FAILURE") => self.failed += 1,
            Some("WARNING") => self.warned += 1,
            Some("SKIPPED") => self.skipped += 1,
            _ => {}
        }
        if self.word.is_none() {
            let texts = [
                &check["errorMessage"],
                &check["details"]["message"],
                &check["details"]["note"],
            ];
            self.word = texts.into_iter().find_map(Value::as_str).map(str::to_owned);
        }
    }
}

/// Returns the scenario of a folder, whose name ends in the time of the run: `ping-2026-01-02T03-04-05-678Z`.
fn scenario<'a>(place: &'a str, prefix: &str) -> Option<&'a str> {
    const TIME: usize = "-2026-01-02T03-04-05-678Z".len();
    let name = place.strip_prefix(prefix)?;
    name.get(..name.len().checked_sub(TIME)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenario_name_without_time() {
        let server = "server-server-stateless-2026-11-21T13-30-19-161Z";
        assert_eq!(scenario(server, "server-"), Some("server-stateless"));
        let client = "auth/basic-cimd-2026-11-21T13-30-19-161Z";
        assert_eq!(scenario(client, ""), Some("auth/basic-cimd"));
    }

    #[test]
    fn checks_are_counted_by_id() {
        let mut checks = Checks::default();
        checks.add(
            "s",
            &serde_json::json!([
                { "id": "a", "status": "SUCCESS" },
                { "id": "a", "status": "FAILURE", "errorMessage": "no" },
                { "id": "b", "status": "INFO", "details": { "message": "by the way" } },
            ]),
        );
        let (a, b) = (&checks.0["s"]["a"], &checks.0["s"]["b"]);
        assert_eq!((a.passed, a.failed, a.word.as_deref()), (1, 1, Some("no")));
        assert_eq!((b.passed, b.bad(), b.word.as_deref()), (0, 0, Some("by the way")));
        assert_eq!(checks.sum(|_| true).passed, 1);
    }
}
