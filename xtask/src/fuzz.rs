//! `cargo xtask fuzz`: runs the fuzz targets of `fuzz/`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::tools::cargo_fuzz;
use crate::workspace::{Workspace, cargo, root};
use crate::{env, exec};

/// The default time for each target, in seconds.
const SECONDS: u64 = 600;
/// The time limit of the build.
const BUILD: Duration = Duration::from_secs(1200);

/// The built targets and the folder of their corpora.
pub(crate) struct Fuzzing {
    programs: PathBuf,
    kept: PathBuf,
}

/// `[--seconds N] [TARGET]...`: runs all targets, or those named; returns whether none found a fault.
pub(crate) fn run(args: &[String]) -> Result<bool> {
    let (mut seconds, mut wanted) = (SECONDS, Vec::new());
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => seconds = args.next().context("--seconds wants a number")?.parse()?,
            flag if flag.starts_with('-') => bail!("no option named {flag:?}"),
            target => wanted.push(target.to_owned()),
        }
    }
    let targets = targets()?;
    if let Some(unknown) = wanted.iter().find(|name| !targets.contains(name)) {
        bail!("no fuzz target named {unknown:?}; there are {}", targets.join(", "));
    }
    let fuzzing = Fuzzing::build()?;
    let mut sound = true;
    for target in targets.iter().filter(|name| wanted.is_empty() || wanted.contains(name)) {
        if let Err(error) = fuzzing.run(target, seconds) {
            eprintln!("{target}: {error:#}");
            sound = false;
        }
    }
    Ok(sound)
}

/// Returns the names of all targets, sorted.
pub(crate) fn targets() -> Result<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

impl Fuzzing {
    /// Builds all targets without a sanitizer, because the crates under test have no unsafe code. So stable Rust suffices.
    pub(crate) fn build() -> Result<Self> {
        let program = cargo_fuzz::program()?;
        let target_dir = Workspace::read()?.target_dir().join("fuzz");
        std::fs::create_dir_all(&target_dir)?;
        let mut command = Command::new(program);
        command
            .current_dir(root())
            .args(["build", "--sanitizer", "none", "--target-dir"])
            .arg(&target_dir);
        exec::quietly(
            "building the fuzz targets",
            &mut command,
            &target_dir.join("build.log"),
            BUILD,
        )?;
        Ok(Self {
            programs: target_dir.join(triple()?).join("release"),
            kept: env::cache()?.join("fuzz"),
        })
    }

    /// Runs one target, from its seeds and the corpus of earlier runs.
    pub(crate) fn run(&self, target: &str, seconds: u64) -> Result<()> {
        let corpus = self.kept.join(target);
        std::fs::create_dir_all(&corpus)?;
        let log = self.kept.join(format!("{target}.log"));
        let mut command = Command::new(self.programs.join(target));
        command
            .current_dir(&self.kept)
            .args([
                format!("-max_total_time={seconds}"),
                "-timeout=10".into(),
                format!("-artifact_prefix={target}-"),
            ])
            .arg(&corpus)
            .arg(root().join("fuzz/seeds").join(target));
        let limit = Duration::from_secs(seconds + 120);
        exec::quietly(&format!("fuzzing {target} for {seconds} s"), &mut command, &log, limit)?;
        println!("{target}: {}", done(&log)?);
        Ok(())
    }
}

/// Parses the fuzzer's last line: `Done 523106 runs in 16 second(s)`.
fn done(log: &Path) -> Result<String> {
    let text = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    let line = text.lines().rev().find(|line| line.starts_with("Done "));
    line.map(str::to_owned).context("the fuzzer did not come to its end")
}

/// Returns the target triple, which is part of cargo-fuzz's output path.
fn triple() -> Result<String> {
    let version = exec::output(cargo(&["-vV"]).env_remove("RUSTFLAGS"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let host = host.context("cargo does not say what machine this is")?;
    ensure!(!host.is_empty(), "cargo does not say what machine this is");
    Ok(host.to_owned())
}
