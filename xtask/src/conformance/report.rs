//! Prints the results on the terminal.

use super::Results;
use super::cell::{CELLS, Rule};

/// Prints the names of all cells, each with its expected result.
pub(super) fn list() {
    for cell in CELLS {
        let rule = match cell.rule {
            Rule::Exactly(passed) => format!("{passed} checks pass, none fails"),
            Rule::Equals(other) => format!("as {other}, check by check"),
            Rule::Beats(other) => format!("better than {other}"),
            Rule::NoFailure => "no check fails".to_owned(),
            Rule::Shown => "only compared with".to_owned(),
        };
        println!("{:<36}{rule}", cell.name);
    }
}

/// Prints the faults of each cell, then the table.
pub(super) fn print(results: &Results) {
    for (cell, verdict) in &results.0 {
        if verdict.holds() {
            continue;
        }
        println!("\n-- {}", cell.name);
        for fault in &verdict.faults {
            println!("  {fault}");
        }
        for difference in &verdict.unexpected {
            println!("  {}:{}  {}", difference.scenario, difference.check, difference.word);
        }
        for entry in &verdict.stale {
            println!("  stale, no longer differs: {}", entry.name());
        }
    }
    println!(
        "\n{:<36}{:<8}{:>8}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12}",
        "cell", "result", "passed", "failed", "warned", "skipped", "scored", "expected", "unexpected"
    );
    for (cell, verdict) in &results.0 {
        let all = verdict.all.clone().unwrap_or_default();
        println!(
            "{:<36}{:<8}{:>8}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12}",
            cell.name,
            if verdict.holds() { "ok" } else { "FAILED" },
            all.passed,
            all.failed,
            all.warned,
            all.skipped,
            scored(verdict.scored),
            verdict.expected.len(),
            verdict.unexpected.len() + verdict.stale.len() + verdict.faults.len(),
        );
    }
}

/// Formats the scored checks as passed of all.
pub(super) fn scored(counts: Option<(usize, usize)>) -> String {
    match counts {
        Some((passed, all)) => format!("{passed}/{all}"),
        None => "-".to_owned(),
    }
}
