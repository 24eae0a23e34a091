//! Packages that a command installs and starts.

use crate::{draft::Draft, model::Package};

/// What a package runner is asked for.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) kind: Runner,
    pub(crate) packages: Vec<String>,
    /// The program, if it is named apart from the package.
    pub(crate) program: Option<String>,
    pub(crate) args: Vec<String>,
}

/// The kinds of package runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runner {
    Npm,
    Pypi,
    Nuget,
}

/// Returns what the package runner `program` is asked for.
pub(crate) fn runner(program: &str, args: &[String]) -> Option<Run> {
    let after = |words: &[&str]| {
        let matches = args.len() >= words.len() && words.iter().zip(args).all(|(word, arg)| word == arg);
        matches.then(|| &args[words.len()..])
    };
    match program {
        "npx" | "bunx" => npm(args),
        "bun" => after(&["x"]).and_then(npm),
        "pnpm" | "yarn" => after(&["dlx"]).and_then(npm),
        "npm" => after(&["exec"]).or_else(|| after(&["x"])).and_then(npm),
        "uvx" => pypi(args, "--from"),
        "uv" => after(&["tool", "run"]).and_then(|args| pypi(args, "--from")),
        "pipx" => after(&["run"]).and_then(|args| pypi(args, "--spec")),
        "dnx" => nuget(args),
        "dotnet" => after(&["tool", "exec"])
            .or_else(|| after(&["tool", "execute"]))
            .and_then(nuget),
        _ => None,
    }
}

fn npm(args: &[String]) -> Option<Run> {
    let mut packages = Vec::new();
    let mut rest = args.iter();
    let mut first = None;
    while let Some(arg) = rest.next() {
        if let Some(name) = arg.strip_prefix("--package=") {
            packages.push(name.to_owned());
            continue;
        }
        match arg.as_str() {
            "-p" | "--package" => packages.push(rest.next()?.clone()),
            "--registry" | "--cache" | "--userconfig" => {
                rest.next();
            }
            // A script.
            "-c" | "--call" => return None,
            _ if arg.starts_with('-') => {}
            _ => {
                first = Some(arg.clone());
                break;
            }
        }
    }
    let mut args: Vec<String> = rest.cloned().collect();
    if args.first().is_some_and(|arg| arg == "--") {
        args.remove(0);
    }
    let program = match (packages.is_empty(), first) {
        (true, Some(first)) => {
            packages.push(first);
            None
        }
        (true, None) => return None,
        (false, program) => program,
    };
    Some(Run {
        kind: Runner::Npm,
        packages,
        program,
        args,
    })
}

/// Options of uv and pipx that take a word.
const PYTHON_OPTIONS: &[&str] = &[
    "--python",
    "-p",
    "--with",
    "-w",
    "--with-editable",
    "--with-requirements",
    "--index-url",
    "-i",
    "--index",
    "--default-index",
    "--extra-index-url",
    "--find-links",
    "-f",
    "--cache-dir",
    "--directory",
    "--project",
    "--config-file",
    "--refresh-package",
    "--reinstall-package",
    "--upgrade-package",
    "-P",
    "--env-file",
    "--pip-args",
    "--constraints",
    "-c",
    "--overrides",
    "--prerelease",
    "--resolution",
    "--exclude-newer",
    "--keyring-provider",
    "--allow-insecure-host",
];

fn pypi(args: &[String], from: &str) -> Option<Run> {
    let (mut spec, mut first) = (None, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        if arg == from {
            spec = Some(rest.next()?.clone());
        } else if let Some(value) = arg.strip_prefix(from).and_then(|rest| rest.strip_prefix('=')) {
            spec = Some(value.to_owned());
        } else if PYTHON_OPTIONS.contains(&arg.as_str()) {
            rest.next();
        } else if !arg.starts_with('-') {
            first = Some(arg.clone());
            break;
        }
    }
    let (packages, program) = match spec {
        Some(spec) => (vec![spec], first),
        None => (vec![first?], None),
    };
    Some(Run {
        kind: Runner::Pypi,
        packages,
        program,
        args: rest.cloned().collect(),
    })
}

fn nuget(args: &[String]) -> Option<Run> {
    let (mut id, mut version) = (None, None);
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.as_str() {
            "--" => break,
            "--version" => version = rest.next().cloned(),
            "--source" | "--add-source" | "--configfile" | "--framework" | "--verbosity" => {
                rest.next();
            }
            _ if arg.starts_with('-') => {}
            _ if id.is_none() => id = Some(arg.clone()),
            _ => {}
        }
    }
    let id = id?;
    let id = match version {
        Some(version) if !id.contains('@') => format!("{id}@{version}"),
        _ => id,
    };
    Some(Run {
        kind: Runner::Nuget,
        packages: vec![id],
        program: None,
        args: rest.cloned().collect(),
    })
}

/// Returns the package that a command installs, and warns if it is not pinned.
pub(super) fn of(draft: &mut Draft, program: &str, args: &[String]) -> Option<Package> {
    let run = runner(program, args)?;
    let spec = run.packages.first()?;
    if run.packages.len() > 1 {
        draft.warn("several-packages");
    }
    let (registry, name, version) = match run.kind {
        Runner::Npm => npm_spec(spec)?,
        Runner::Pypi => pypi_spec(spec)?,
        Runner::Nuget => {
            let (name, version) = spec
                .split_once('@')
                .map_or((spec.as_str(), None), |(name, version)| (name, Some(version)));
            let exact = version
                .filter(|version| !version.contains('*') && version.starts_with(|char: char| char.is_ascii_digit()));
            ("nuget", name.to_owned(), exact.map(ToOwned::to_owned))
        }
    };
    if version.is_none() {
        draft.warn("unpinned");
    }
    let own = name.rsplit('/').next().unwrap_or(&name);
    Some(Package {
        registry,
        program: run.program.filter(|program| program != own),
        version,
        args: run.args,
        name,
    })
}

type Spec = (&'static str, String, Option<String>);

fn is_path(spec: &str) -> bool {
    spec.starts_with(['.', '/', '~']) || spec.contains('\\') || spec.starts_with("file:")
}

fn npm_spec(spec: &str) -> Option<Spec> {
    if is_path(spec) {
        return None;
    }
    let is_git = ["github:", "gitlab:", "bitbucket:", "gist:", "git+", "git:"]
        .iter()
        .any(|prefix| spec.starts_with(prefix));
    if is_git || spec.ends_with(".git") {
        let (name, version) = match spec.split_once('#') {
            Some((name, version)) => (name, Some(version.to_owned())),
            None => (spec, None),
        };
        return Some(("git", name.strip_prefix("git+").unwrap_or(name).to_owned(), version));
    }
    if spec.contains("://") {
        return None;
    }
    // `owner/repository` is one of GitHub.
    if !spec.starts_with('@') && spec.contains('/') {
        let (name, version) = spec
            .split_once('#')
            .map_or((spec, None), |(name, version)| (name, Some(version)));
        return Some(("git", format!("github:{name}"), version.map(ToOwned::to_owned)));
    }
    let at = spec.get(1..).and_then(|rest| rest.find('@')).map(|at| at + 1);
    let (name, version) = at.map_or((spec, None), |at| (&spec[..at], Some(&spec[at + 1..])));
    let version = version.filter(|version| is_semantic(version));
    Some(("npm", name.to_owned(), version.map(ToOwned::to_owned)))
}

/// Returns whether a version is one exact semantic version.
fn is_semantic(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<_> = core.split('.').collect();
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3 && parts.iter().all(is_number) && !version.contains([' ', '|', '<', '>'])
}

fn pypi_spec(spec: &str) -> Option<Spec> {
    let spec = spec.split_once(" @ ").map_or(spec, |(_, url)| url);
    if let Some(git) = spec.strip_prefix("git+") {
        let git = git.split_once('#').map_or(git, |(url, _)| url);
        let path = git.find("://").map_or(0, |at| at + 3);
        let path = git[path..].find('/').map_or(git.len(), |at| path + at);
        let (name, version) = match git[path..].rfind('@') {
            Some(at) => (&git[..path + at], Some(git[path + at + 1..].to_owned())),
            None => (git, None),
        };
        return Some(("git", name.to_owned(), version));
    }
    if is_path(spec) || spec.contains("://") {
        return None;
    }
    let end = spec
        .find(['@', '=', '[', '<', '>', '!', '~', ' ', ';'])
        .unwrap_or(spec.len());
    let name = spec[..end].to_owned();
    let rest = match spec[end..].strip_prefix('[') {
        Some(extras) => extras.split_once(']').map_or("", |(_, rest)| rest),
        None => &spec[end..],
    };
    let version = rest
        .strip_prefix("===")
        .or_else(|| rest.strip_prefix("=="))
        .or_else(|| rest.strip_prefix('@'));
    let is_exact = |version: &&str| {
        version.starts_with(|char: char| char.is_ascii_digit()) && !version.contains(['*', ',', '<', '>', ' ', ';'])
    };
    let version = version.map(str::trim).filter(is_exact);
    Some(("pypi", name, version.map(ToOwned::to_owned)))
}

/// Returns the package of an image, and warns if it is not pinned.
pub(crate) fn oci(draft: &mut Draft, image: &str, args: &[String]) -> Package {
    let (name, digest) = image
        .split_once('@')
        .map_or((image, None), |(name, digest)| (name, Some(digest)));
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let colon = name[slash..].find(':').map(|at| slash + at);
    let (name, tag) = colon.map_or((name, None), |at| (&name[..at], Some(&name[at + 1..])));
    let version = digest.or_else(|| tag.filter(|tag| *tag != "latest" && !tag.is_empty()));
    if version.is_none() {
        draft.warn("unpinned");
    }
    Package {
        registry: "oci",
        name: name.to_owned(),
        version: version.map(ToOwned::to_owned),
        args: args.to_vec(),
        program: None,
    }
}
