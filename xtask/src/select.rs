//! The selection of parts of the test command.

use anyhow::{Result, bail, ensure};

/// The arguments of `cargo xtask test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    only: Vec<String>,
    skip: Vec<String>,
    pub(crate) list: bool,
}

impl Selection {
    /// Parses the arguments; `known` are the names of all parts.
    pub(crate) fn parse(args: &[String], known: &[&str]) -> Result<Self> {
        let mut selection = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (flag, inline) = match arg.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (arg.as_str(), None),
            };
            let parts = match flag {
                "--list" => {
                    selection.list = true;
                    continue;
                }
                "--only" => &mut selection.only,
                "--skip" => &mut selection.skip,
                _ => bail!("no option named {arg:?}: there are --only PART, --skip PART and --list"),
            };
            let value = inline.or_else(|| args.next().map(String::as_str)).unwrap_or_default();
            ensure!(
                known.contains(&value),
                "no part named {value:?}: there are {}",
                known.join(", ")
            );
            parts.push(value.to_owned());
        }
        Ok(selection)
    }

    /// Returns whether the part of this name runs.
    pub(crate) fn includes(&self, name: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|one| one == name);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["style", "unit", "e2e"];

    fn chosen(args: &[&str]) -> Vec<&'static str> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let selection = Selection::parse(&args, KNOWN).unwrap();
        KNOWN.iter().copied().filter(|name| selection.includes(name)).collect()
    }

    #[test]
    fn everything_runs_unless_told_otherwise() {
        assert_eq!(chosen(&[]), KNOWN);
    }

    #[test]
    fn only_and_skip_combine() {
        assert_eq!(chosen(&["--only", "unit", "--only=e2e"]), ["unit", "e2e"]);
        assert_eq!(chosen(&["--skip", "e2e"]), ["style", "unit"]);
        assert_eq!(chosen(&["--only", "unit", "--only", "e2e", "--skip=unit"]), ["e2e"]);
    }

    #[test]
    fn unknown_arguments_are_refused() {
        for args in [["--only", "units"], ["--skip", ""], ["--other", "unit"]] {
            let args = args.map(str::to_owned);
            assert!(Selection::parse(&args, KNOWN).is_err(), "{args:?}");
        }
        assert!(Selection::parse(&["--only".to_owned()], KNOWN).is_err());
    }
}
