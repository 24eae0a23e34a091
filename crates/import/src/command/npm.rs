//! `npx`, `bunx`, `pnpm dlx`, `yarn dlx`.

use super::{PackageCommand, Spec, git};
use crate::PackageRegistry;
use crate::names::is_exact_npm;

/// Options that take the next word.
const WITH_VALUE: &[&str] = &[
    "--registry",
    "--prefix",
    "--userconfig",
    "--cache",
    "--node-options",
    "--node-arg",
    "-n",
    "--workspace",
    "-w",
    "--loglevel",
    "--shell",
];

/// Reads the package in the arguments from `start` on. `None` if they name none.
pub(super) fn package(args: &[String], start: usize) -> Option<PackageCommand> {
    let (mut at, mut packages, mut named) = (start, Vec::new(), false);
    while let Some(arg) = args.get(at) {
        match arg.as_str() {
            "-p" | "--package" => {
                packages.push(args.get(at + 1)?.as_str());
                at += 2;
            }
            "-c" | "--call" => return None,
            "--" => {
                at += 1;
                named = true;
                break;
            }
            option if option.starts_with('-') => {
                if let Some(package) = option.strip_prefix("--package=").or_else(|| option.strip_prefix("-p=")) {
                    packages.push(package);
                }
                if option.starts_with("--call=") {
                    return None;
                }
                at += if WITH_VALUE.contains(&option) { 2 } else { 1 };
            }
            _ => {
                named = true;
                break;
            }
        }
    }
    if !named {
        return None;
    }
    let word = args.get(at)?;
    let Some(first) = packages.first() else {
        return Some(spec(word)?.command(at + 1));
    };
    let spec = spec(first)?;
    let own_name = spec.name.rsplit('/').next() == Some(word.as_str());
    let mut command = spec.command(at + 1);
    command.program = (!own_name).then(|| word.clone());
    command.several = packages.len() > 1;
    Some(command)
}

/// Reads `name`, `name@version`, `@scope/name@version`, or a git repository. A path or another URL is no package.
pub(crate) fn spec(text: &str) -> Option<Spec> {
    if let Some(spec) = git(text) {
        return Some(spec);
    }
    let text = text.strip_prefix("npm:").unwrap_or(text);
    let scope = text.strip_prefix('@').map_or(0, |_| 1);
    let (name, version) = match text[scope..].split_once('@') {
        Some((name, version)) => (&text[..scope + name.len()], Some(version)),
        None => (text, None),
    };
    let slashes = name.matches('/').count();
    let fits = !name.is_empty()
        && slashes == scope
        && !name.starts_with(['.', '/', '~', '$', '{'])
        && !name.contains([':', '\\']);
    fits.then(|| Spec {
        registry: PackageRegistry::Npm,
        name: name.to_owned(),
        version: version.filter(|version| is_exact_npm(version)).map(str::to_owned),
    })
}
