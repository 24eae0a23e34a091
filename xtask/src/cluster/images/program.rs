//! Images of workspace programs, statically linked: the bridge, and a scripted HTTP server.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Image;
use super::archive::{self, Start};
use crate::exec;
use crate::workspace::{Workspace, cargo};

/// A program of the workspace, in an image of its own.
struct Program {
    package: &'static str,
    name: &'static str,
    features: &'static str,
    image: &'static str,
    /// The path in the image.
    path: &'static str,
}

pub(super) fn bridge() -> Result<Image> {
    image(&Program {
        package: "portolan-process",
        name: "portolan-bridge",
        features: "bridge",
        image: "docker.io/local/portolan-bridge:1",
        path: "/portolan-bridge",
    })
}

pub(super) fn http_server() -> Result<Image> {
    image(&Program {
        package: "portolan-fixtures",
        name: "http_fixture",
        features: "",
        image: "docker.io/local/portolan-http-server:1",
        path: "/http-server",
    })
}

/// Builds the program and its image, in the target directory.
fn image(program: &Program) -> Result<Image> {
    let host = host()?;
    let mut command = cargo(&["build", "--release", "--target", &host, "-p", program.package]);
    command.args(["--bin", program.name, "--features", program.features]);
    command.env("RUSTFLAGS", "-C target-feature=+crt-static");
    // Without optimizations, which would take minutes in each run; benchmarks use other builds.
    for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    let (status, _) = exec::stream(&mut command)?;
    ensure!(status.success(), "{} does not build", program.name);

    let target = Workspace::read()?.target_dir();
    let folder = target.join("cluster").join(program.name);
    let root = folder.join("root");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&root)?;
    let built = target.join(&host).join("release").join(program.name);
    fs::copy(&built, root.join(program.path.trim_start_matches('/')))
        .with_context(|| format!("cannot copy {}", built.display()))?;
    let start = Start {
        entrypoint: &[program.path],
        command: &[],
        folder: "/",
    };
    archive::write(program.image, &start, &root, &folder)?;
    archive::read(program.image, &folder)
}

/// Returns the target triple of the host. With an explicit target, the flags for static linking do not apply to build
/// scripts and macros.
fn host() -> Result<String> {
    let told = exec::output(Command::new("rustc").arg("-vV"))?;
    let host = told.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc printed no host triple")?.to_owned())
}
