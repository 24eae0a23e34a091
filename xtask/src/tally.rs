//! Counts tests in the output of the test harness.

/// Known ignored tests, each with its reason.
const KNOWN_IGNORED: &[(&str, &str)] = &[
    (
        "memory::measure_in_own_process",
        "`sessions_do_not_leak` runs it, in a process of its own",
    ),
    (
        "memory::measure_memory",
        "`memory_is_bounded` runs it, in a process of its own",
    ),
    (
        "host_exit::host_program",
        "`killed_host_leaves_lingering_servers` runs it, and kills it",
    ),
];

/// Counts of passed and failed tests. An unknown ignored test counts as failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The names of failed tests, as far as the harness prints them.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Reads one line of the harness's output.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some((passed, failed)) = summary(line) {
            self.passed += passed;
            self.failed += failed;
            return;
        }
        match outcome(line) {
            Some((name, "FAILED")) => self.failures.push(name.to_owned()),
            Some((name, result)) if is_ignored(result) && !is_known(name) => {
                self.failed += 1;
                self.failures.push(format!("{name} (ignored)"));
            }
            _ => {}
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }
}

/// Parses `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn summary(line: &str) -> Option<(u64, u64)> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what: &str| {
        counts
            .split(';')
            .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
    };
    Some((count("passed")?, count("failed")?))
}

/// Parses `test NAME ... ok`, `test NAME ... FAILED`, `test NAME ... ignored` or `test NAME ... ignored, REASON`
fn outcome(line: &str) -> Option<(&str, &str)> {
    line.trim().strip_prefix("test ")?.rsplit_once(" ... ")
}

fn is_ignored(result: &str) -> bool {
    result == "ignored" || result.starts_with("ignored, ")
}

fn is_known(test: &str) -> bool {
    KNOWN_IGNORED.iter().any(|(name, _reason)| *name == test)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn several_harnesses_add_up() {
        let seen = tally(&[
            "running 3 tests",
            "test one::works ... ok",
            "test one::breaks ... FAILED",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: FAILED. 12 passed; 2 failed; 0 ignored; 0 measured; 1 filtered out; finished in 1.00s",
        ]);
        assert_eq!((seen.passed, seen.failed), (15, 2));
        assert_eq!(seen.failures, ["one::breaks"]);
    }

    #[test]
    fn unknown_ignored_tests_fail() {
        let seen = tally(&[
            "test store::tests::slow ... ignored",
            "test src/lib.rs - store (line 3) ... ignored, not today",
            "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ]);
        assert_eq!((seen.passed, seen.failed), (1, 2));
        assert_eq!(
            seen.failures,
            ["store::tests::slow (ignored)", "src/lib.rs - store (line 3) (ignored)"]
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            tally(&["", "test result", "test one ... ok", "failed 3 passed"]),
            Tally::default()
        );
    }
}
