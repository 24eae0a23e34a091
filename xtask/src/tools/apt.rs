//! Installs Debian packages, if this user may.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::LIMIT;
use crate::{env, exec};

/// The keys of Debian's archive.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Returns the path of `program`, and installs its Debian packages if it is missing.
pub(crate) fn ensure_program(program: &str, packages: &str) -> Result<PathBuf> {
    if let Some(found) = env::find_program(program) {
        return Ok(found);
    }
    install(packages)?;
    env::find_program(program).with_context(|| format!("{packages} brought no program named {program}"))
}

/// Installs Debian packages, their names separated by spaces.
pub(super) fn install(packages: &str) -> Result<()> {
    ensure!(
        may_install(),
        "please install {packages} (on Debian, as root: apt-get install {packages})"
    );
    let log = update()?;
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "--no-install-recommends"]);
    exec::quietly(
        &format!("installing {packages}"),
        command.args(packages.split(' ')),
        &log,
        LIMIT,
    )
}

/// Unpacks Debian packages into `folder` without installing them, so that no service starts and no installed package
/// is replaced.
pub(crate) fn unpack(packages: &[&str], folder: &Path) -> Result<()> {
    ensure!(
        may_install(),
        "the packages {} are fetched with apt-get, as root, on Debian and its kin",
        packages.join(" ")
    );
    let log = update()?;
    fetch(packages, folder, &log, &[])
}

/// Fetches Debian packages with these options of apt-get, and unpacks them into `folder`.
fn fetch(packages: &[&str], folder: &Path, log: &Path, options: &[String]) -> Result<()> {
    let fetched = folder.join("packages");
    std::fs::create_dir(&fetched)?;
    let mut command = Command::new("apt-get");
    // The user `_apt` may not be able to write here.
    command
        .args(["-o", "APT::Sandbox::User=root"])
        .args(options)
        .arg("download")
        .args(packages);
    exec::quietly(
        &format!("fetching {}", packages.join(" ")),
        command.current_dir(&fetched),
        log,
        LIMIT,
    )?;
    for package in std::fs::read_dir(&fetched)? {
        exec::output(
            Command::new("dpkg-deb")
                .arg("--extract")
                .arg(package?.path())
                .arg(folder),
        )?;
    }
    Ok(std::fs::remove_dir_all(fetched)?)
}

/// Unpacks packages of another release of Debian into `folder`, from the mirror that this machine uses. The machine's own
/// lists and packages stay as they are.
pub(super) fn unpack_from(suite: &str, packages: &[&str], folder: &Path) -> Result<()> {
    ensure!(
        may_install(),
        "the packages {} are fetched with apt-get, as root, on Debian",
        packages.join(" ")
    );
    let apt = folder.join("apt");
    for name in ["lists/partial", "cache/archives/partial"] {
        std::fs::create_dir_all(apt.join(name))?;
    }
    let sources = apt.join("sources.list");
    let line = format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?);
    std::fs::write(&sources, line)?;
    let set = |name: &str, value: &Path| ["-o".to_owned(), format!("{name}={}", value.display())];
    let options: Vec<String> = [
        set("Dir::Etc::sourcelist", &sources),
        set("Dir::Etc::sourceparts", Path::new("-")),
        set("Dir::State::lists", &apt.join("lists")),
        set("Dir::Cache", &apt.join("cache")),
    ]
    .concat();
    let log = folder.join("apt.log");
    exec::quietly(
        &format!("updating the list of packages of {suite}"),
        Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root"])
            .args(&options)
            .arg("update"),
        &log,
        LIMIT,
    )?;
    fetch(packages, folder, &log, &options)?;
    std::fs::remove_dir_all(apt)?;
    Ok(std::fs::remove_file(log)?)
}

/// Returns the mirror of Debian that this machine uses.
fn mirror() -> Result<String> {
    let targets = exec::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(COMPONENT) $(SITE)",
        "Identifier: Packages",
    ]))?;
    targets
        .lines()
        .filter_map(|line| line.strip_prefix("Debian main "))
        .find(|site| !site.contains("security"))
        .map(str::to_owned)
        .context("apt-get knows no mirror of Debian")
}

fn may_install() -> bool {
    env::find_program("apt-get").is_some()
        && exec::output(Command::new("id").arg("-u")).is_ok_and(|user| user.trim() == "0")
}

/// Updates the package lists; returns the log file, which later steps use, too.
fn update() -> Result<PathBuf> {
    let cache = env::cache()?;
    std::fs::create_dir_all(&cache)?;
    let log = cache.join("apt-get.log");
    exec::quietly(
        "updating the list of Debian packages",
        Command::new("apt-get").arg("update"),
        &log,
        LIMIT,
    )?;
    Ok(log)
}
