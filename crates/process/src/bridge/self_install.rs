//! Copies the program to where a container without it can run it.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::ExitCode,
};

use super::stderr::eprint_line;

/// Copies this program to `to`, completely or not at all.
pub(super) fn copy_self(to: &Path) -> ExitCode {
    match copy(to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint_line(&format!("cannot copy itself to {}: {error}", to.display()));
            ExitCode::from(74)
        }
    }
}

fn copy(to: &Path) -> io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = to.with_file_name(name);
    let copied = fs::copy(std::env::current_exe()?, &beside)
        .and_then(|_| fs::set_permissions(&beside, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&beside, to));
    if copied.is_err() {
        let _ = fs::remove_file(&beside);
    }
    copied
}
