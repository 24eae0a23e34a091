//! The arguments of the conformance command.

use anyhow::{Result, bail, ensure};

use super::cell::{self, CELLS, Cell, Target};

/// The selected cells and options.
#[derive(Debug, Default)]
pub(super) struct Selection {
    cells: Vec<&'static Cell>,
    direct: bool,
    pub(super) list: bool,
    /// The only scenario to run, with verbose output.
    pub(super) scenario: Option<String>,
}

impl Selection {
    pub(super) fn parse(args: &[String]) -> Result<Self> {
        let mut selection = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (flag, inline) = match arg.split_once('=') {
                Some((flag, value)) => (flag, Some(value)),
                None => (arg.as_str(), None),
            };
            let mut value = || inline.or_else(|| args.next().map(String::as_str)).unwrap_or_default();
            match flag {
                "--list" => selection.list = true,
                "--direct" => selection.direct = true,
                "--cell" => selection.cells.push(cell::named(value())?),
                "--scenario" => selection.scenario = Some(value().to_owned()),
                _ => bail!("no option named {arg:?}: there are --cell NAME, --direct, --scenario NAME and --list"),
            }
        }
        ensure!(
            selection.scenario.is_none() || !selection.is_everything(),
            "say in which cell the scenario runs: --cell NAME"
        );
        Ok(selection)
    }

    /// Returns the selected cells, by default all.
    pub(super) fn cells(&self) -> Vec<&'static Cell> {
        let chosen = |cell: &&Cell| {
            let named = self.cells.iter().any(|one| one.name == cell.name);
            named || (self.direct && matches!(cell.target, Target::Direct(_)))
        };
        CELLS
            .iter()
            .filter(|cell| self.is_everything() || chosen(cell))
            .collect()
    }

    pub(super) fn is_everything(&self) -> bool {
        self.cells.is_empty() && !self.direct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(args: &[&str]) -> Result<Vec<&'static str>> {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        let selection = Selection::parse(&args)?;
        Ok(selection.cells().iter().map(|cell| cell.name).collect())
    }

    #[test]
    fn everything_runs_unless_told_otherwise() {
        assert_eq!(chosen(&[]).unwrap().len(), CELLS.len());
    }

    #[test]
    fn cells_selected_by_name_or_pairing() {
        assert_eq!(chosen(&["--cell", "modern-modern"]).unwrap(), ["2026-07-28-on-modern"]);
        assert_eq!(chosen(&["--cell=client-2025-11-25"]).unwrap(), ["client-2025-11-25"]);
        assert_eq!(chosen(&["--direct"]).unwrap().len(), 5);
    }

    #[test]
    fn invalid_selections_are_refused() {
        assert!(chosen(&["--cell", "modern"]).is_err());
        assert!(chosen(&["--scenario", "ping"]).is_err());
        assert!(chosen(&["--all"]).is_err());
    }
}
