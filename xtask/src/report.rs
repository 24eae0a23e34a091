//! The outcome of a part, and the result table.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::exec;
use crate::tally::Tally;

/// The outcome of a part so far.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    tally: Tally,
    notes: Vec<String>,
}

/// One line of the result table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) part: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) time: Duration,
}

impl Outcome {
    /// Runs a check that counts as one test.
    pub(crate) fn check(&mut self, what: &str, check: impl FnOnce() -> Result<()>) {
        println!("\n-- {what}");
        match check() {
            Ok(()) => self.tally.passed += 1,
            Err(error) => self.fail(&format!("{what}: {error:#}")),
        }
    }

    /// Runs a command that counts as one test: it passes if it succeeds.
    pub(crate) fn command(&mut self, what: &str, command: &mut Command) {
        self.check(what, || {
            let (status, _) = exec::stream(command)?;
            anyhow::ensure!(status.success(), "{}: {status}", exec::show(command));
            Ok(())
        });
    }

    /// Runs a command that reports its own tests.
    pub(crate) fn tests(&mut self, command: &mut Command) {
        match exec::stream(command) {
            Ok((status, tally)) => {
                let counts = (tally.passed, tally.failed);
                self.tally.add(tally);
                match counts {
                    (_, 0) if !status.success() => self.fail(&format!("{}: {status}", exec::show(command))),
                    (0, 0) => self.fail(&format!("{}: ran no test", exec::show(command))),
                    _ => {}
                }
            }
            Err(error) => self.fail(&format!("{error:#}")),
        }
    }

    pub(crate) fn fail(&mut self, why: &str) {
        eprintln!("FAILED {why}");
        self.tally.failed += 1;
        self.notes.push(why.lines().next().unwrap_or_default().to_owned());
    }

    /// Adds a note to the result table.
    pub(crate) fn note(&mut self, note: &str) {
        println!("{note}");
        self.notes.push(note.to_owned());
    }
}

/// Prints the table and the total; returns whether everything passed.
pub(crate) fn print(rows: &[Row]) -> bool {
    let mut total = Tally::default();
    println!(
        "\n{:<14}{:<8}{:>8}{:>8}{:>10}",
        "part", "result", "passed", "failed", "time"
    );
    for Row { part, outcome, time } in rows {
        let Tally {
            passed,
            failed,
            failures,
        } = &outcome.tally;
        let result = if *failed == 0 { "ok" } else { "FAILED" };
        println!("{part:<14}{result:<8}{passed:>8}{failed:>8}{:>10}", minutes(*time));
        for line in outcome.notes.iter().chain(failures) {
            println!("    {line}");
        }
        total.passed += passed;
        total.failed += failed;
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    total.failed == 0
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{} m {:02} s", seconds / 60, seconds % 60)
}
