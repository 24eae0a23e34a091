//! PgBouncer, before and since it keeps track of prepared statements.
//!
//! Each is Debian's, of another release, so it runs with the libraries of that release and not with this machine's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{apt, once};
use crate::exec;
use crate::versions::{PGBOUNCER_NEW, PGBOUNCER_OLD};

/// A release of Debian, and the packages that PgBouncer needs there.
struct Release {
    /// What the version of PgBouncer begins with.
    version: &'static str,
    suite: &'static str,
    packages: &'static [&'static str],
}

const OLD: Release = Release {
    version: PGBOUNCER_OLD,
    suite: "bookworm",
    packages: &[
        "pgbouncer",
        "libc6",
        "libc-ares2",
        "libssl3",
        "libevent-2.1-7",
        "libpam0g",
        "libsystemd0",
        "libcap2",
        "libgcrypt20",
        "liblzma5",
        "libzstd1",
        "liblz4-1",
        "libaudit1",
        "libgpg-error0",
        "libcap-ng0",
    ],
};

const NEW: Release = Release {
    version: PGBOUNCER_NEW,
    suite: "trixie",
    packages: &[
        "pgbouncer",
        "libc6",
        "libcares2",
        "libssl3t64",
        "libevent-2.1-7t64",
        "libpam0g",
        "libsystemd0",
        "libcap2",
        "libaudit1",
        "libcap-ng0",
        "zlib1g",
        "libzstd1",
    ],
};

/// The program, which its own loader runs.
#[derive(Debug)]
pub(crate) struct Program {
    folder: PathBuf,
    loader: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    pub(crate) fn command(&self) -> &Path {
        &self.loader
    }

    /// Returns the arguments that go before its own.
    pub(crate) fn arguments(&self) -> &[OsString] {
        &self.arguments
    }

    /// Copies it into `folder`, for a user who may not look into this one's cache.
    pub(crate) fn copy(&self, folder: &Path) -> Result<Self> {
        exec::output(Command::new("cp").arg("-r").arg(&self.folder).arg(folder))?;
        Self::find(folder)
    }

    fn find(folder: &Path) -> Result<Self> {
        let libraries: Vec<PathBuf> = ["lib", "usr/lib"]
            .iter()
            .flat_map(|name| std::fs::read_dir(folder.join(name)).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .filter(|path| path.to_string_lossy().ends_with("-linux-gnu"))
            .collect();
        let loader = libraries
            .iter()
            .flat_map(|path| std::fs::read_dir(path).into_iter().flatten().flatten())
            .map(|entry| entry.path())
            .find(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"))
            })
            .context("Debian's libc6 brought no loader")?;
        let arguments = vec![
            "--library-path".into(),
            std::env::join_paths(&libraries)?,
            folder.join("usr/sbin/pgbouncer").into(),
        ];
        Ok(Self {
            folder: folder.to_owned(),
            loader,
            arguments,
        })
    }
}

/// Returns one that knows nothing of prepared statements.
pub(crate) fn old() -> Result<Program> {
    OLD.program()
}

/// Returns one that keeps track of prepared statements.
pub(crate) fn new() -> Result<Program> {
    NEW.program()
}

impl Release {
    fn program(&self) -> Result<Program> {
        let folder = once(&format!("pgbouncer-{}", self.version), |draft| {
            apt::unpack_from(self.suite, self.packages, draft)?;
            let program = Program::find(draft)?;
            let version = exec::output(
                Command::new(program.command())
                    .args(program.arguments())
                    .arg("--version"),
            )?;
            ensure!(
                version.starts_with(&format!("PgBouncer {}.", self.version)),
                "expected PgBouncer {}, got {}",
                self.version,
                version.lines().next().unwrap_or_default()
            );
            Ok(())
        })?;
        Program::find(&folder)
    }
}
