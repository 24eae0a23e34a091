//! `uvx`, `uv tool run`, `pipx run`.

use super::{PackageCommand, Spec, git};
use crate::PackageRegistry;
use crate::names::is_exact;

/// Options that take the next word.
const WITH_VALUE: &[&str] = &[
    "--python",
    "-p",
    "--with",
    "-w",
    "--with-editable",
    "--with-requirements",
    "--index",
    "--index-url",
    "-i",
    "--extra-index-url",
    "--default-index",
    "--find-links",
    "-f",
    "--constraints",
    "-c",
    "--overrides",
    "--build-constraints",
    "-b",
    "--env-file",
    "--cache-dir",
    "--config-file",
    "--directory",
    "--project",
    "--python-platform",
    "--prerelease",
    "--resolution",
    "--index-strategy",
    "--keyring-provider",
    "--link-mode",
    "--exclude-newer",
    "--color",
    "--refresh-package",
    "--upgrade-package",
    "-P",
    "--reinstall-package",
    "--no-build-package",
    "--no-binary-package",
    "--config-setting",
    "-C",
    "--allow-insecure-host",
    "--pip-args",
    "--fetch-python",
];

/// Reads the package in the arguments from `start` on. `None` if they name none.
pub(super) fn package(args: &[String], start: usize) -> Option<PackageCommand> {
    let (mut at, mut from) = (start, None);
    while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
        match arg.as_str() {
            "--from" | "--spec" => {
                from = Some(args.get(at + 1)?.as_str());
                at += 2;
            }
            "--" => {
                at += 1;
                break;
            }
            option => {
                from = option
                    .strip_prefix("--from=")
                    .or_else(|| option.strip_prefix("--spec="))
                    .or(from);
                at += if WITH_VALUE.contains(&option) { 2 } else { 1 };
            }
        }
    }
    let word = args.get(at)?;
    let Some(from) = from else {
        return Some(spec(word)?.command(at + 1));
    };
    let spec = spec(from)?;
    let program = (*word != spec.name).then(|| word.clone());
    let mut command = spec.command(at + 1);
    command.program = program;
    Some(command)
}

/// Reads `name`, `name@version`, `name[extra]==version`, `name @ git+URL`, or `git+URL@ref`. A path or another URL is no package.
pub(crate) fn spec(text: &str) -> Option<Spec> {
    if let Some(spec) = git(text) {
        return Some(spec);
    }
    let end = text
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(text.len());
    let (name, mut rest) = (&text[..end], text[end..].trim_start());
    if name.is_empty() || name.starts_with('.') || rest.starts_with(['/', '\\', ':']) {
        return None;
    }
    if rest.starts_with('[') {
        rest = rest.split_once(']')?.1.trim_start();
    }
    if let Some(spec) = rest
        .strip_prefix('@')
        .map(str::trim)
        .filter(|url| url.starts_with("git+"))
        .and_then(git)
    {
        return Some(spec);
    }
    let version = rest
        .strip_prefix("===")
        .or_else(|| rest.strip_prefix("=="))
        .or_else(|| rest.strip_prefix('@'));
    Some(Spec {
        registry: PackageRegistry::Pypi,
        name: name.to_owned(),
        version: version
            .map(str::trim)
            .filter(|version| is_exact(version))
            .map(str::to_owned),
    })
}
