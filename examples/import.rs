//! Reads a configuration file of an MCP client, a `server.json`, a bundle's manifest or a Docker catalogue entry, and prints
//! what an import makes of it as JSON. Secrets that the file holds are not printed.
//!
//! ```sh
//! cargo run --example import -- --format vscode .vscode/mcp.json
//! ```

use std::io::{Write, stdout};
use std::process::ExitCode;

use lexopt::prelude::*;
use portolan_import::{Format, import, report};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "import: {error}\nusage: import --format FORMAT FILE");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let (mut format, mut file) = (None, None);
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("format") => format = Some(arguments.value()?.string()?.parse::<Format>()?),
            Value(path) if file.is_none() => file = Some(path),
            other => return Err(other.unexpected().into()),
        }
    }
    let format = format.ok_or("--format is missing")?;
    let file = file.ok_or("the file is missing")?;
    let bytes = std::fs::read(&file).map_err(|error| format!("{}: {error}", file.to_string_lossy()))?;
    let result = import(format, &String::from_utf8_lossy(&bytes));
    writeln!(stdout(), "{:#}", report(format, &result))?;
    if let Err(error) = &result {
        writeln!(std::io::stderr(), "{}: {error}", file.to_string_lossy())?;
    }
    Ok(())
}
