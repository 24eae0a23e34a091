//! Builds programs from Go modules.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{env, exec};

/// The time limit of a build: all of Kubernetes, on two busy cores.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// One `go build` of a published module.
#[derive(Debug)]
pub(crate) struct Build<'a> {
    /// The module's path, such as `k8s.io/kubernetes`.
    pub(crate) module: &'a str,
    pub(crate) version: &'a str,
    /// The packages to build; `.` is `main`.
    pub(crate) packages: &'a [String],
    /// An own `main` package to build instead of the module's.
    pub(crate) main: Option<&'a str>,
    pub(crate) ldflags: &'a str,
    /// The published version of the sibling modules, which the module requires as v0.0.0.
    pub(crate) siblings: Option<&'a str>,
}

/// Builds the programs into `folder`, named after their packages.
pub(crate) fn build(what: &str, build: &Build<'_>, folder: &Path) -> Result<()> {
    let go = program()?;
    let module = folder.join("module");
    fs::create_dir(&module)?;
    let command = || {
        let mut command = Command::new(&go);
        command
            .current_dir(&module)
            .env("GOTOOLCHAIN", "auto")
            .env("GOFLAGS", "-mod=mod")
            .env("CGO_ENABLED", "0");
        command
    };
    let origin = format!("{}@{}", build.module, build.version);
    let log = folder.join("build.log");
    let mut fetch = command();
    exec::quietly(
        &format!("fetching {origin}"),
        fetch.args(["mod", "download", &origin]),
        &log,
        LIMIT,
    )?;
    let fetched = exec::output(command().args(["mod", "download", "-json", &origin]))?;
    let fetched: Value = serde_json::from_str(&fetched)?;
    let theirs = fetched["GoMod"].as_str().context("go names no go.mod file")?;
    fs::write(module.join("go.mod"), go_mod(build, &fs::read_to_string(theirs)?))?;
    if let Some(main) = build.main {
        fs::write(module.join("main.go"), main)?;
    }
    let mut command = command();
    command.args(["build", "-trimpath", "-buildvcs=false", "-ldflags", build.ldflags, "-o"]);
    command.arg(folder).args(build.packages);
    exec::quietly(what, &mut command, &log, LIMIT)?;
    fs::remove_file(log)?;
    Ok(fs::remove_dir_all(module)?)
}

/// Returns Go 1.21 or newer, which downloads the newer toolchain that a module needs.
fn program() -> Result<PathBuf> {
    let wanted = "please install Go 1.21 or newer: the cluster's programs are built with it";
    let go = env::find_program("go").context(wanted)?;
    let version = exec::output(Command::new(&go).args(["env", "GOVERSION"]))?;
    ensure!(
        minor(&version).is_some_and(|minor| minor >= 21),
        "{wanted} (this is {})",
        version.trim()
    );
    Ok(go)
}

/// Parses `go1.26.8` to 26.
fn minor(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix("go1.")?
        .split(['.', 'r', 'b'])
        .next()?
        .parse()
        .ok()
}

/// Returns a `go.mod` that requires the module. `replace` lines apply to the main module only, so those for sibling
/// modules, such as Kubernetes', are repeated here.
fn go_mod(build: &Build<'_>, theirs: &str) -> String {
    let language = theirs.lines().find(|line| line.starts_with("go ")).unwrap_or("go 1.21");
    let Build { module, version, .. } = build;
    let name = module.rsplit('/').next().unwrap_or(module);
    let mut text = format!("module portolan.test/{name}\n\n{language}\n\nrequire {module} {version}\n\n");
    if let Some(version) = build.siblings {
        let required = theirs.lines().filter_map(|line| {
            let mut words = line.trim().split(' ');
            let module = words.next()?;
            (words.next()? == "v0.0.0").then_some(module)
        });
        for sibling in required {
            let _ = writeln!(text, "replace {sibling} => {sibling} {version}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unversioned_siblings_are_replaced() {
        let theirs = "module k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/api v0.0.0\n\
                      \tk8s.io/utils v0.0.0-20260319190234-28399d86e0b5\n\tk8s.io/klog/v2 v2.140.0\n\
                      \tk8s.io/mount-utils v0.0.0 // indirect\n)\n";
        let build = Build {
            module: "k8s.io/kubernetes",
            version: "v1.36.3",
            packages: &[],
            main: None,
            ldflags: "",
            siblings: Some("v0.36.3"),
        };
        assert_eq!(
            go_mod(&build, theirs),
            "module portolan.test/kubernetes\n\ngo 1.26.0\n\nrequire k8s.io/kubernetes v1.36.3\n\n\
             replace k8s.io/api => k8s.io/api v0.36.3\n\
             replace k8s.io/mount-utils => k8s.io/mount-utils v0.36.3\n"
        );
    }
}
