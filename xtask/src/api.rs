//! `cargo xtask api [--bless]`: the public API of each library, compared with the listing in `docs/api`.
//!
//! The listing comes from rustdoc's JSON output, which a stable toolchain gives only to those who ask for unstable
//! options. A wrapper around rustdoc asks, so that nothing else is built in another way and cargo builds nothing twice.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use public_api::Builder;

use crate::exec;
use crate::report::Outcome;
use crate::workspace::{FEATURES, Workspace, cargo, root};

/// The version of rustdoc's JSON that the pinned `public-api` reads.
const FORMAT: u64 = 57;
/// The most lines of a difference that are printed.
const SHOWN: usize = 60;

const WRAPPER: &str = "#!/bin/sh\nRUSTC_BOOTSTRAP=1 exec rustdoc \"$@\"\n";

/// Compares the listings, or writes them with `--bless`.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let bless = match args {
        [] => false,
        [arg] if arg == "--bless" => true,
        _ => bail!("the only option is --bless"),
    };
    let workspace = Workspace::read()?;
    build(&workspace)?;
    let mut same = true;
    for library in workspace.libraries() {
        let json = json(&workspace, &library);
        let format = format(&json)?;
        ensure!(format == FORMAT, "{}", unsupported(format));
        let current = listing(&json)?;
        let file = file(&library);
        if bless {
            fs::create_dir_all(file.parent().context("no folder")?)?;
            fs::write(&file, current)?;
        } else if let Err(error) = compare(&file, &current) {
            println!("{library}: {error:#}");
            same = false;
        }
    }
    Ok(same)
}

/// One check for each library; a note if the toolchain's rustdoc writes another format.
pub(crate) fn check(outcome: &mut Outcome) -> Result<()> {
    println!("\n-- public API");
    let workspace = Workspace::read()?;
    build(&workspace)?;
    for library in workspace.libraries() {
        let json = json(&workspace, &library);
        let format = format(&json)?;
        if format != FORMAT {
            outcome.note(&format!("public API: not checked ({})", unsupported(format)));
            return Ok(());
        }
        outcome.check(&format!("{library} has the public API that docs/api lists"), || {
            compare(&file(&library), &listing(&json)?)
        });
    }
    Ok(())
}

/// Has rustdoc write the JSON of all libraries, from what `cargo doc` builds for the `docs` check.
fn build(workspace: &Workspace) -> Result<()> {
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
    exec::output(&mut command).map(drop)
}

fn json(workspace: &Workspace, library: &str) -> PathBuf {
    let name = library.replace('-', "_");
    workspace.target_dir().join("doc").join(name).with_extension("json")
}

fn file(library: &str) -> PathBuf {
    root().join("docs/api").join(library).with_extension("txt")
}

fn format(json: &Path) -> Result<u64> {
    let text = fs::read(json).with_context(|| format!("cannot read {}", json.display()))?;
    let value: serde_json::Value = serde_json::from_slice(&text)?;
    value["format_version"]
        .as_u64()
        .context("rustdoc's JSON has no format_version")
}

fn unsupported(format: u64) -> String {
    format!("this toolchain's rustdoc writes JSON of version {format}; version {FORMAT}, of Rust 1.95, is understood")
}

/// One line for each public item. Blanket and auto trait implementations are left out.
fn listing(json: &Path) -> Result<String> {
    let api = Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()?;
    Ok(api.to_string())
}

fn compare(file: &Path, current: &str) -> Result<()> {
    let listed = fs::read_to_string(file).unwrap_or_default();
    let difference = difference(&listed, current);
    ensure!(
        difference.is_empty(),
        "the public API differs; if that is meant, `cargo xtask api --bless` and a line in CHANGELOG.md:\n{}",
        difference[..difference.len().min(SHOWN)].join("\n")
    );
    Ok(())
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
    fn differences_name_removed_and_added_items() {
        assert!(difference("a\nb\n", "b\na\n").is_empty());
        assert_eq!(difference("a\nb\nc\n", "a\nd\nc\n"), ["- b", "+ d"]);
    }
}
