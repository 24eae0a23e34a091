//! Compares two runs, check by check.

use super::checks::{Checks, Tally};

/// A check with a worse result than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) scenario: String,
    pub(super) check: String,
    /// The runner's message.
    pub(super) word: String,
}

/// Returns the checks of `run` with a worse result than in `baseline`, or those that failed without a baseline.
pub(super) fn differences(run: &Checks, baseline: Option<&Checks>) -> Vec<Difference> {
    let none = Checks::default();
    let baseline = baseline.unwrap_or(&none);
    let mut found = Vec::new();
    for (scenario, check) in every(run, baseline) {
        let (here, there) = (tally(run, scenario, check), tally(baseline, scenario, check));
        if here.bad() > there.bad() || here.passed < there.passed {
            found.push(Difference {
                scenario: scenario.to_owned(),
                check: check.to_owned(),
                word: word(&here),
            });
        }
    }
    found
}

fn every<'a>(run: &'a Checks, baseline: &'a Checks) -> impl Iterator<Item = (&'a str, &'a str)> {
    let mut all: Vec<(&str, &str)> = [run, baseline]
        .into_iter()
        .flat_map(|checks| &checks.0)
        .flat_map(|(scenario, tallies)| tallies.keys().map(move |check| (scenario.as_str(), check.as_str())))
        .collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

fn tally(checks: &Checks, scenario: &str, check: &str) -> Tally {
    let tallies = checks.0.get(scenario);
    tallies
        .and_then(|tallies| tallies.get(check))
        .cloned()
        .unwrap_or_default()
}

fn word(tally: &Tally) -> String {
    let status = match tally {
        Tally { failed: 1.., .. } => "failed",
        Tally { warned: 1.., .. } => "warned",
        Tally { skipped: 1.., .. } => "skipped",
        Tally { word: Some(_), .. } => "not passed",
        _ => "not reached",
    };
    match &tally.word {
        Some(word) => format!("{status}: {}", word.lines().next().unwrap_or_default()),
        None => status.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(list: &serde_json::Value) -> Checks {
        let mut checks = Checks::default();
        checks.add("s", list);
        checks
    }

    #[test]
    fn worse_checks_differ() {
        let direct = run(&json!([
            { "id": "a", "status": "SUCCESS" },
            { "id": "b", "status": "SUCCESS" },
            { "id": "c", "status": "SUCCESS" },
            { "id": "d", "status": "SKIPPED" },
        ]));
        let here = run(&json!([
            { "id": "a", "status": "SUCCESS" },
            { "id": "b", "status": "FAILURE", "errorMessage": "bad\nvery" },
            { "id": "e", "status": "INFO" },
        ]));
        let found = differences(&here, Some(&direct));
        let short: Vec<_> = found
            .iter()
            .map(|one| (one.check.as_str(), one.word.as_str()))
            .collect();
        assert_eq!(short, [("b", "failed: bad"), ("c", "not reached")]);
        assert_eq!(differences(&here, None).len(), 1);
        assert!(differences(&direct, Some(&here)).is_empty());
    }
}
