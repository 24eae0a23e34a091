//! The scenarios that a revision scores.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Returns the scenarios of this role in the runner's list.
pub(super) fn scenarios(file: &Path, role: &str) -> Result<BTreeSet<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = parse(&text, role);
    ensure!(!found.is_empty(), "{} has no section {role:?}", file.display());
    Ok(found)
}

fn parse(text: &str, role: &str) -> BTreeSet<String> {
    let start = format!("{role}:");
    text.lines()
        .skip_while(|line| *line != start)
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with([' ', '#']))
        .filter_map(|line| line.trim().strip_prefix("- "))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_own_sections() {
        let text = "# about\nserver:\n  - a\n  # more\n  - b\n\nclient:\n  - c\nnot_scored:\n  - scenario: d\n";
        assert_eq!(parse(text, "server"), ["a", "b"].map(str::to_owned).into());
        assert_eq!(parse(text, "client"), ["c".to_owned()].into());
    }
}
