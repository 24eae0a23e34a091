//! The expected differences of a cell, each with its reason.
//!
//! The files have the format of the runner's own `--expected-failures`: a list under `server:` or `client:` of
//! `scenario` or `scenario:check-id`. A comment at the end of each line gives the reason.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::compare::Difference;
use crate::workspace::root;

/// The folder of the files, below the workspace's folder.
const FOLDER: &str = "conformance";

/// One expected difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    scenario: String,
    check: Option<String>,
    pub(super) reason: String,
}

impl Entry {
    pub(super) fn covers(&self, difference: &Difference) -> bool {
        self.scenario == difference.scenario && self.check.as_ref().is_none_or(|check| *check == difference.check)
    }

    /// Returns the entry as in the file.
    pub(super) fn name(&self) -> String {
        match &self.check {
            Some(check) => format!("{}:{check}", self.scenario),
            None => self.scenario.clone(),
        }
    }
}

/// Reads the expected differences of a cell; none without a file.
pub(super) fn of(cell: &str, role: &str) -> Result<Vec<Entry>> {
    let file = PathBuf::from(FOLDER).join(format!("{cell}.yaml"));
    let path = root().join(&file);
    if !path.is_file() {
        return Ok(Vec::new());
    }
    parse(&fs::read_to_string(path)?, role).with_context(|| file.display().to_string())
}

fn parse(text: &str, role: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        let is_head = line == format!("{role}:") || line == format!("{role}: []");
        if line.is_empty() || line.starts_with('#') || is_head {
            continue;
        }
        let entry = line.strip_prefix("- ").and_then(|line| line.split_once('#'));
        let Some((name, reason)) = entry.map(|(name, reason)| (name.trim(), reason.trim())) else {
            bail!("{line:?} is not `- scenario[:check-id]  # reason` below `{role}:`");
        };
        let (scenario, check) = match name.split_once(':') {
            Some((scenario, check)) => (scenario, Some(check.to_owned())),
            None => (name, None),
        };
        entries.push(Entry {
            scenario: scenario.to_owned(),
            check,
            reason: reason.to_owned(),
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_needs_a_reason() {
        let entries = parse("# all\nserver:\n  - a  # because\n  - b:c  # for that\n", "server").unwrap();
        let names: Vec<_> = entries
            .iter()
            .map(|entry| (entry.name(), entry.reason.clone()))
            .collect();
        assert_eq!(
            names,
            [("a".into(), "because".into()), ("b:c".into(), "for that".into())]
        );
        for wrong in ["server:\n  - a\n", "client:\n", "server:\n  a  # because\n"] {
            assert!(parse(wrong, "server").is_err(), "{wrong}");
        }
    }

    #[test]
    fn entries_cover_check_or_scenario() {
        let entries = parse("- a # x\n- b:c # y\n", "server").unwrap();
        let difference = |scenario: &str, check: &str| Difference {
            scenario: scenario.into(),
            check: check.into(),
            word: String::new(),
        };
        assert!(entries[0].covers(&difference("a", "any")));
        assert!(entries[1].covers(&difference("b", "c")));
        assert!(!entries[1].covers(&difference("b", "d")));
    }
}
