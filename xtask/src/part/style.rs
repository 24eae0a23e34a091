//! Checks formatting, lints, docs, the public API, dependencies, module structure and packages.

use anyhow::Result;

use super::{deny, dependencies, package, structure};
use crate::report::Outcome;
use crate::workspace::{FEATURES, Workspace, cargo};
use crate::{api, exec};

pub(super) fn run(outcome: &mut Outcome) -> Result<()> {
    for component in ["fmt", "clippy"] {
        let name = if component == "fmt" { "rustfmt" } else { component };
        exec::output(&mut cargo(&[component, "--version"])).map_err(|error| {
            anyhow::anyhow!("this toolchain has no {name}; `rustup component add {name}` installs it ({error:#})")
        })?;
    }
    outcome.command("formatting", &mut cargo(&["fmt", "--all", "--check"]));
    outcome.command(
        "lints, whole workspace",
        &mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--features",
            FEATURES,
            "--",
            "-D",
            "warnings",
        ]),
    );
    for library in Workspace::read()?.libraries() {
        let alone = ["clippy", "-p", &library, "--no-default-features"];
        let least: &[&str] = match library.as_str() {
            // These do not compile without a database, and without a version of the Kubernetes API.
            "portolan-storage-sql" => &["--features", "sqlite"],
            "portolan-k8s" => &["--features", "k8s-earliest"],
            _ => &[],
        };
        let arguments = [&alone, least, &["--", "-D", "warnings"]].concat();
        outcome.command(
            &format!("lints, {library} alone with the fewest features"),
            &mut cargo(&arguments),
        );
    }
    let postgres = [
        "-p",
        "portolan-storage-sql",
        "--no-default-features",
        "--features",
        "postgres",
    ];
    outcome.command(
        "lints, portolan-storage-sql with PostgreSQL alone",
        &mut cargo(&[&["clippy"], &postgres[..], &["--", "-D", "warnings"]].concat()),
    );
    outcome.command(
        "docs",
        cargo(&["doc", "--workspace", "--no-deps", "--features", FEATURES]).env("RUSTDOCFLAGS", "-D warnings"),
    );
    api::check(outcome)?;
    dependencies::run(outcome)?;
    structure::run(outcome)?;
    package::run(outcome)?;
    deny::run(outcome)
}
