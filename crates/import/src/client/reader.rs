//! Collects the servers of a file.

use crate::draft::Draft;
use crate::node::Node;
use crate::{Error, Format, Import, MAX_ENTRIES, Reason, Rejected, Warning, WarningKind};

/// Collects servers, rejected entries and warnings.
pub(crate) struct Reader {
    import: Import,
}

impl Reader {
    pub(crate) fn new(format: Format) -> Self {
        let import = Import {
            format,
            servers: Vec::new(),
            rejected: Vec::new(),
            warnings: Vec::new(),
        };
        Self { import }
    }

    /// Adds what was made of an entry. Returns the reason if it was rejected.
    pub(crate) fn add(&mut self, name: &str, line: u32, made: Result<Draft, Reason>) -> Result<Option<Reason>, Error> {
        let entries = self.import.servers.len() + self.import.rejected.len() + 1;
        if entries > MAX_ENTRIES {
            return Err(Error::TooManyEntries { entries });
        }
        match made {
            Ok(draft) => {
                self.import.servers.push(draft.server);
                Ok(None)
            }
            Err(reason) => {
                let rejected = Rejected {
                    name: name.to_owned(),
                    reason: reason.clone(),
                    line,
                };
                self.import.rejected.push(rejected);
                Ok(Some(reason))
            }
        }
    }

    /// Adds all members of a map, each read by `entry`. An absent map has none.
    pub(crate) fn add_map(
        &mut self,
        map: Option<&Node>,
        mut entry: impl FnMut(&str, &Node) -> Result<Draft, Reason>,
    ) -> Result<Vec<Reason>, Error> {
        let Some(map) = map else { return Ok(Vec::new()) };
        let members = map
            .map()
            .ok_or_else(|| Error::shape(map.line, "the servers are not a map"))?;
        if members.len() > MAX_ENTRIES {
            return Err(Error::TooManyEntries { entries: members.len() });
        }
        let mut reasons = Vec::new();
        for (name, node) in members {
            reasons.extend(self.add(name, node.line, entry(name, node))?);
        }
        Ok(reasons)
    }

    /// Warns of the file as a whole.
    pub(crate) fn warn(&mut self, kind: WarningKind, line: u32) {
        if self.import.warnings.iter().all(|known| known.kind != kind) {
            self.import.warnings.push(Warning { kind, line });
        }
    }

    /// Warns that the client loads no server of this file, if one of the reasons has that effect.
    pub(crate) fn refuses(&mut self, any: bool, line: u32) {
        if any {
            self.warn(WarningKind::ClientRefusesFile, line);
        }
    }

    pub(crate) fn finish(self) -> Import {
        self.import
    }
}
