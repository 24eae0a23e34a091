//! What goes to crates.io: each library can be packaged, and no link in the documents leads nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::report::Outcome;
use crate::workspace::{Workspace, cargo, root};

/// Addresses that do not exist.
const NOWHERE: &[&str] = &["github.com/portolan-mcp", "docs.rs/portolan"];

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    // All at once: cargo then takes the crates that are not published from each other's packages. Compiling the packages
    // would build every dependency anew.
    let mut package = cargo(&["package", "--no-verify", "--allow-dirty"]);
    let workspace = Workspace::read()?;
    for library in workspace.libraries() {
        package.args(["-p", &library]);
    }
    outcome.command("packages", &mut package);
    outcome.check("links of documents and manifests", || links(&workspace));
    Ok(())
}

fn links(workspace: &Workspace) -> Result<()> {
    let mut broken: Vec<String> = workspace
        .links()
        .into_iter()
        .filter(|(_, link)| is_nowhere(link))
        .map(|(package, link)| format!("{package}: {link}"))
        .collect();
    for file in documents()? {
        let text = fs::read_to_string(root().join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        let folder = file.parent().unwrap_or_else(|| Path::new(""));
        for target in targets(&text) {
            let is_broken = match target.split_once("://") {
                Some(_) => is_nowhere(target),
                None => !exists(folder, target),
            };
            if is_broken {
                broken.push(format!("{}: {target}", file.display()));
            }
        }
    }
    ensure!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
    Ok(())
}

fn is_nowhere(link: &str) -> bool {
    NOWHERE.iter().any(|address| link.contains(address))
}

fn exists(folder: &Path, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    path.is_empty() || root().join(folder).join(path).exists()
}

/// All Markdown files, relative to the workspace; not those of builds and of hidden folders.
fn documents() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let path = folder.join(&name);
            if entry.file_type()?.is_dir() {
                let name = name.to_string_lossy();
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What the links of a Markdown text lead to: `[text](target)` and `[text]: target`, outside of code blocks.
fn targets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let inline = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', ' ']).next());
        found.extend(inline);
        let definition = line.starts_with('[').then(|| line.split_once("]: ")).flatten();
        found.extend(definition.map(|(_, target)| target.trim()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_targets_outside_code() {
        let text = "see [a](docs/a.md#top) and [b](b \"title\")\n```\n[c](c)\n```\n[`D`]: src/d.rs\n[e] f: g\n";
        assert_eq!(targets(text), ["docs/a.md#top", "b", "src/d.rs"]);
    }

    #[test]
    fn relative_targets_resolve() {
        assert!(exists(Path::new(""), "docs/replicas.md#anything"));
        assert!(exists(Path::new("docs"), "replicas.md"));
        assert!(exists(Path::new("docs"), "#anchor"));
        assert!(!exists(Path::new("docs"), "docs/replicas.md"));
    }
}
