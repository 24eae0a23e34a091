//! The cells of a run: transport, era, number of clients and size of the result.

use std::fmt;

use serde::Serialize;

use crate::args::RunOptions;

/// The protocol era of the clients.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    Legacy,
    Modern,
}

/// The transport between the measured system and the upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    Http,
    Stdio,
}

/// One combination of transport, era, clients and result size.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Cell {
    pub(crate) transport: Transport,
    pub(crate) era: Era,
    pub(crate) clients: usize,
    /// The length of the result's text, in bytes.
    pub(crate) bytes: usize,
}

impl fmt::Display for Cell {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Http => "http",
            Transport::Stdio => "stdio",
        };
        let era = match self.era {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        };
        write!(out, "{transport}/{era}/{}/{}", self.clients, self.bytes)
    }
}

/// Returns the selected cells in the order in which they are measured.
pub(crate) fn chosen(options: &RunOptions) -> Vec<Cell> {
    let http: &[usize] = if options.quick { &[32] } else { &[1, 8, 32, 128] };
    let stdio: &[usize] = if options.quick { &[32] } else { &[1, 32] };
    let mut cells = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        for bytes in [64, 64 << 10, 1 << 20] {
            cells.extend(http.iter().map(|&clients| Cell {
                transport: Transport::Http,
                era,
                clients,
                bytes,
            }));
        }
    }
    for era in [Era::Legacy, Era::Modern] {
        cells.extend(stdio.iter().map(|&clients| Cell {
            transport: Transport::Stdio,
            era,
            clients,
            bytes: 64,
        }));
    }
    cells.retain(|cell| {
        let name = format!("{cell}/");
        options.only.is_empty() || options.only.iter().any(|part| name.contains(part.as_str()))
    });
    cells
}
