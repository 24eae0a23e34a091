//! The Python image, with real MCP servers from PyPI.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Image;
use super::archive::{self, Start};
use super::root::Root;
use crate::exec;
use crate::tools::{once, parts};

const NAME: &str = "docker.io/local/portolan-python:1";

/// The parts of the standard library that no server needs.
const LEFT_OUT: &[&str] = &[
    "test",
    "idlelib",
    "ensurepip",
    "turtledemo",
    "tkinter",
    "site-packages",
    "__pycache__",
];

/// Prints, line by line, the version, the program, the standard library, and the packages of an environment.
const ASK: &str = "import os, sys, sysconfig
print('%d.%d' % sys.version_info[:2])
print(os.path.realpath(sys.executable))
print(os.path.dirname(os.__file__))
print(sysconfig.get_path('purelib'))";

pub(super) fn image() -> Result<Image> {
    let parts = parts::folder()?;
    let folder = once(&format!("image-python-1-{}", parts::key(&parts)), |draft| {
        println!("building the Python image …");
        let root = Root::new(&draft.join("root"))?;
        fill(&root, &parts.join("python/bin/python"))?;
        root.add_busybox()?;
        let start = Start {
            entrypoint: &[],
            command: &["python3"],
            folder: "/app",
        };
        archive::write(NAME, &start, root.path(), draft)
    })?;
    archive::read(NAME, &folder)
}

fn fill(root: &Root, python: &Path) -> Result<()> {
    let output = exec::output(Command::new(python).args(["-c", ASK]))?;
    let mut output = output.lines();
    let mut next = || output.next().context("python printed fewer lines than expected");
    let (version, program) = (next()?, Path::new(next()?));
    let (library, packages) = (Path::new(next()?), Path::new(next()?));

    let home = format!("usr/local/lib/python{version}");
    root.copy(program, &format!("usr/local/bin/python{version}"))?;
    for name in ["python", "python3"] {
        std::os::unix::fs::symlink(format!("python{version}"), root.path().join("usr/local/bin").join(name))?;
    }
    for entry in fs::read_dir(library)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !LEFT_OUT.contains(&name.as_str()) && !name.starts_with("config-") {
            root.copy(&entry.path(), &format!("{home}/{name}"))?;
        }
    }
    root.copy(packages, &format!("{home}/site-packages"))?;
    compile(python, root.path(), &home)?;
    let mut binaries = vec![program.to_owned()];
    shared_objects(library, &mut binaries)?;
    shared_objects(packages, &mut binaries)?;
    root.add_libraries(&binaries)
}

/// Compiles all modules without checks against their sources: the archive changes the times of the sources, and the user
/// of the image may not write.
fn compile(python: &Path, root: &Path, home: &str) -> Result<()> {
    let mut command = Command::new(python);
    command.args([
        "-m",
        "compileall",
        "-q",
        "-f",
        "-j",
        "0",
        "--invalidation-mode",
        "unchecked-hash",
        "-p",
        "/",
        "-s",
    ]);
    // Some packages contain templates that are not valid Python, for which it fails at the end.
    command
        .arg(root)
        .arg(root.join(home))
        .output()
        .context("cannot compile the modules")?;
    Ok(())
}

fn shared_objects(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !LEFT_OUT.contains(&entry.file_name().to_string_lossy().as_ref()) {
                shared_objects(&path, found)?;
            }
        } else if path.extension() == Some(OsStr::new("so")) {
            found.push(path);
        }
    }
    Ok(())
}
