//! What a command really starts: a package, a container, a remote server behind a bridge, or just a program.

mod bridge;
mod dnx;
mod docker;
mod npm;
mod python;
mod shell;

pub(crate) use bridge::Bridge;
pub(crate) use docker::{Container, Value, image_package};
pub(crate) use npm::spec as npm_spec;
pub(crate) use python::spec as python_spec;

use crate::PackageRegistry;

/// A command with wrappers taken off, and what it starts.
pub(crate) struct Reading {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    /// A wrapper was taken off.
    pub(crate) unwrapped: bool,
    pub(crate) program: Program,
}

/// What a command starts.
pub(crate) enum Program {
    Plain,
    Package(PackageCommand),
    Container(Container),
    Bridge(Bridge),
}

/// A package that a command installs and runs.
pub(crate) struct PackageCommand {
    pub(crate) registry: PackageRegistry,
    pub(crate) name: String,
    /// The version, if it is exact.
    pub(crate) version: Option<String>,
    /// The place of the server's first argument.
    pub(crate) args_from: usize,
    /// Arguments after that place that are the installer's own.
    pub(crate) not_args: Vec<usize>,
    pub(crate) program: Option<String>,
    /// Further packages are installed.
    pub(crate) several: bool,
}

/// A name and a version, as a package command writes them.
pub(crate) struct Spec {
    pub(crate) registry: PackageRegistry,
    pub(crate) name: String,
    pub(crate) version: Option<String>,
}

impl Spec {
    fn command(self, args_from: usize) -> PackageCommand {
        PackageCommand {
            registry: self.registry,
            name: self.name,
            version: self.version,
            args_from,
            not_args: Vec::new(),
            program: None,
            several: false,
        }
    }
}

/// Reads a command.
pub(crate) fn read(command: &str, args: &[String]) -> Reading {
    let (command, args, unwrapped) = shell::unwrap(command, args);
    let program = program(&command, &args);
    Reading {
        command,
        args,
        unwrapped,
        program,
    }
}

fn program(command: &str, args: &[String]) -> Program {
    let name = shell::base_name(command);
    let first = args.first().map_or("", String::as_str);
    let second = args.get(1).map_or("", String::as_str);
    let package = match (name, first, second) {
        ("npx" | "bunx", ..) => npm::package(args, 0),
        ("pnpm" | "yarn", "dlx", _) | ("npm", "exec" | "x", _) | ("bun", "x", _) => npm::package(args, 1),
        ("uvx", ..) => python::package(args, 0),
        ("uv", "tool", "run") => python::package(args, 2),
        ("pipx", "run", _) => python::package(args, 1),
        ("dnx", ..) => dnx::package(args, 0),
        ("dotnet", "dnx", _) => dnx::package(args, 1),
        ("dotnet", "tool", "exec" | "execute") => dnx::package(args, 2),
        ("docker" | "podman", ..) => return docker::read(args).map_or(Program::Plain, Program::Container),
        _ => return bridge::read(name, args).map_or(Program::Plain, Program::Bridge),
    };
    let Some(package) = package else { return Program::Plain };
    let started = package.program.as_deref().unwrap_or(&package.name);
    let own = args.get(package.args_from..).unwrap_or_default();
    match bridge::read(started, own) {
        Some(bridge) => Program::Bridge(bridge),
        None => Program::Package(package),
    }
}

/// Reads the specification of a git repository: `git+URL@ref`, `github:owner/name#ref` or a URL that ends in `.git`.
fn git(spec: &str) -> Option<Spec> {
    let branch = |reference: &&str| {
        !reference.is_empty()
            && !matches!(
                *reference,
                "main" | "master" | "HEAD" | "develop" | "dev" | "latest" | "trunk"
            )
    };
    let (name, reference) = if let Some(url) = spec.strip_prefix("git+") {
        let url = url.split(';').next().unwrap_or(url);
        let (url, fragment) = url
            .split_once('#')
            .map_or((url, None), |(url, fragment)| (url, Some(fragment)));
        let path = url.find("://").map_or(0, |at| at + 3);
        let host_end = url[path..].find('/').map_or(url.len(), |at| path + at);
        match url[host_end..].rsplit_once('@') {
            Some((before, reference)) => (url[..host_end + before.len()].to_owned(), Some(reference)),
            None => (url.to_owned(), fragment.filter(|fragment| !fragment.contains('='))),
        }
    } else {
        let hosted = ["github:", "gitlab:", "bitbucket:", "gist:"]
            .iter()
            .any(|host| spec.starts_with(host));
        let (name, reference) = spec
            .split_once('#')
            .map_or((spec, None), |(name, reference)| (name, Some(reference)));
        let url = name.starts_with("git://")
            || name.starts_with("git@")
            || name.starts_with("ssh://")
            || (name.contains("://") && name.ends_with(".git"));
        if !hosted && !url {
            return None;
        }
        (name.to_owned(), reference)
    };
    Some(Spec {
        registry: PackageRegistry::Git,
        name,
        version: reference.filter(branch).map(str::to_owned),
    })
}
