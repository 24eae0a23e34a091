//! `cargo xtask api [--bless]`: the public API of each library, compared with the listing in `docs/api`.
//!
//! The listing comes from rustdoc's JSON output, which a stable toolchain gives only to those who ask for unstable
//! options. A wrapper around rustdoc asks, so that nothing else is built in another way and cargo builds nothing twice.

mod errors;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use public_api::Builder;
use serde_json::Value;

use crate::exec;
use crate::report::Outcome;
use crate::workspace::{FEATURES, Workspace, cargo, root};

/// The version of rustdoc's JSON that the pinned `public-api` reads.
const FORMAT: u64 = 57;
/// The most lines of a difference that are printed.
const SHOWN: usize = 60;

const WRAPPER: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";

/// How many fallible functions of a crate may lack a section `# Errors`. These numbers only get smaller.
const WITHOUT_ERRORS: &[(&str, usize)] = &[("portolan-gateway", 8)];

/// The public API of one library.
struct Api {
    library: String,
    json: PathBuf,
    value: Value,
}

/// Compares the listings, or writes them with `--bless`; prints what lacks a section `# Errors`.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let bless = match args {
        [] => false,
        [arg] if arg == "--bless" => true,
        _ => bail!("the only option is --bless"),
    };
    let mut same = true;
    for api in build()? {
        ensure!(api.is_understood(), "{}", api.format());
        let undocumented = errors::undocumented(&api.value);
        println!("{}: {} without a section # Errors", api.library, undocumented.len());
        for function in undocumented {
            println!("    {function}");
        }
        if bless {
            api.bless()?;
        } else if let Err(error) = api.compare() {
            println!("{}: {error:#}", api.library);
            same = false;
        }
    }
    Ok(same)
}

/// Two checks for each library; a note if the toolchain's rustdoc writes another format.
pub(crate) fn check(outcome: &mut Outcome) -> Result<()> {
    println!("\n-- public API");
    for api in build()? {
        if !api.is_understood() {
            outcome.note(&format!("public API: not checked ({})", api.format()));
            return Ok(());
        }
        let library = &api.library;
        outcome.check(&format!("{library} has the public API that docs/api lists"), || {
            api.compare()
        });
        outcome.check(&format!("{library} says when functions fail"), || {
            api.documents_errors()
        });
    }
    Ok(())
}

/// Has rustdoc write the JSON of all libraries, from what `cargo doc` builds for the `docs` check.
fn build() -> Result<Vec<Api>> {
    let workspace = Workspace::read()?;
    let folder = workspace.target_dir().join("xtask");
    fs::create_dir_all(&folder)?;
    let wrapper = folder.join("rustdoc-json");
    fs::write(&wrapper, WRAPPER)?;
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
    let mut command = cargo(&[
        "doc",
        "--quiet",
        "--workspace",
        "--lib",
        "--no-deps",
        "--features",
        FEATURES,
    ]);
    command
        .env("RUSTDOC", wrapper)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    exec::output(&mut command)?;
    let doc = workspace.target_dir().join("doc");
    let libraries = workspace.libraries().into_iter();
    libraries.map(|library| Api::read(library, &doc)).collect()
}

impl Api {
    fn read(library: String, doc: &Path) -> Result<Self> {
        let json = doc.join(library.replace('-', "_")).with_extension("json");
        let text = fs::read(&json).with_context(|| format!("cannot read {}", json.display()))?;
        let value = serde_json::from_slice(&text)?;
        Ok(Self { library, json, value })
    }

    fn is_understood(&self) -> bool {
        self.value["format_version"] == FORMAT
    }

    fn format(&self) -> String {
        let format = &self.value["format_version"];
        format!("this rustdoc writes JSON of version {format}; version {FORMAT}, of Rust 1.95, is understood")
    }

    /// One line for each public item. Blanket and auto trait implementations are left out.
    fn listing(&self) -> Result<String> {
        let api = Builder::from_rustdoc_json(&self.json)
            .omit_blanket_impls(true)
            .omit_auto_trait_impls(true)
            .build()?;
        Ok(api.to_string())
    }

    fn listed(&self) -> PathBuf {
        root().join("docs/api").join(&self.library).with_extension("txt")
    }

    fn bless(&self) -> Result<()> {
        let file = self.listed();
        fs::create_dir_all(file.parent().context("no folder")?)?;
        Ok(fs::write(file, self.listing()?)?)
    }

    fn compare(&self) -> Result<()> {
        let listed = fs::read_to_string(self.listed()).unwrap_or_default();
        let difference = difference(&listed, &self.listing()?);
        ensure!(
            difference.is_empty(),
            "the public API differs; if that is meant, `cargo xtask api --bless` and a line in CHANGELOG.md:\n{}",
            difference[..difference.len().min(SHOWN)].join("\n")
        );
        Ok(())
    }

    fn documents_errors(&self) -> Result<()> {
        let undocumented = errors::undocumented(&self.value);
        let allowed = WITHOUT_ERRORS.iter().find(|(library, _)| *library == self.library);
        let allowed = allowed.map_or(0, |(_, count)| *count);
        ensure!(
            undocumented.len() <= allowed,
            "without a section # Errors, of which {allowed} may be:\n{}",
            undocumented.join("\n")
        );
        Ok(())
    }
}

fn difference(old: &str, new: &str) -> Vec<String> {
    let olds: BTreeSet<&str> = old.lines().collect();
    let news: BTreeSet<&str> = new.lines().collect();
    let removed = old
        .lines()
        .filter(|line| !news.contains(line))
        .map(|line| format!("- {line}"));
    let added = new
        .lines()
        .filter(|line| !olds.contains(line))
        .map(|line| format!("+ {line}"));
    removed.chain(added).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difference_lists_changed_lines() {
        assert!(difference("a\nb\n", "b\na\n").is_empty());
        assert_eq!(difference("a\nb\nc\n", "a\nd\nc\n"), ["- b", "+ d"]);
    }
}
