//! Prints the servers of a file: a client's configuration, a `server.json`, a bundle's manifest, a Docker catalogue.
//!
//! ```text
//! cargo run --example import -- --format vscode .vscode/mcp.json
//! ```

#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, path::PathBuf};

use lexopt::ValueExt;
use portolan_import::{Format, import_named};

fn main() -> Result<(), Box<dyn Error>> {
    let (format, file) = arguments()?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    // A server of Continue may have no name but that of its file.
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("server");
    let found = import_named(format, name, &text);
    println!("{}", serde_json::to_string_pretty(&found)?);
    Ok(())
}

fn arguments() -> Result<(Format, PathBuf), Box<dyn Error>> {
    let usage = "usage: import --format FORMAT FILE";
    let (mut format, mut file) = (None, None);
    let mut words = lexopt::Parser::from_env();
    while let Some(word) = words.next()? {
        match word {
            lexopt::Arg::Long("format") => format = Some(words.value()?.string()?.parse()?),
            lexopt::Arg::Value(path) if file.is_none() => file = Some(path.into()),
            other => return Err(format!("{}; {usage}", other.unexpected()).into()),
        }
    }
    match (format, file) {
        (Some(format), Some(file)) => Ok((format, file)),
        _ => Err(usage.into()),
    }
}
