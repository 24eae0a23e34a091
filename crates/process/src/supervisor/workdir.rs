//! The private directory of a deployment, and the secret files in it.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use portolan_core::{Failure, FailureKind};

use crate::ResolvedValue;

/// A directory that only this user can enter; removed when this is dropped.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    path: PathBuf,
}

impl PrivateDir {
    /// Creates a new directory below `base`, named for `name`.
    pub(crate) fn create(base: &Path, name: &str) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        DirBuilder::new().recursive(true).mode(0o700).create(base)?;
        check_base(base)?;
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name: String = name.chars().take(64).map(plain).collect();
        let own = std::process::id();
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("{name}.{own}.{number}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    return Ok(Self {
                        path: path.canonicalize()?,
                    });
                }
                // Left behind by a host that was killed and had the same process id.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the secret files, each readable by this user only. Returns their directory.
    pub(crate) fn write_files(&self, files: &BTreeMap<String, ResolvedValue>) -> Result<PathBuf, Failure> {
        let dir = self.path.join("secrets");
        for name in files.keys() {
            check_name(name)?;
        }
        write_all(&dir, files).map_err(|e| {
            Failure::new(
                FailureKind::Mount,
                format!("the secret files could not be written: {e}"),
            )
        })?;
        Ok(dir)
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "private directory could not be removed");
        }
    }
}

/// Refuses a base directory whose owner, or any other user, could replace the private directory by another one.
fn check_base(base: &Path) -> io::Result<()> {
    let base = fs::metadata(base)?;
    let owner_is_fine = base.uid() == 0 || base.uid() == rustix::process::geteuid().as_raw();
    let (open, sticky) = (base.mode() & 0o002 != 0, base.mode() & 0o1000 != 0);
    if owner_is_fine && (sticky || !open) {
        return Ok(());
    }
    Err(io::Error::other(
        "others could replace what is in it; it has to be this user's own",
    ))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let fits = !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0']);
    if fits {
        return Ok(());
    }
    Err(
        Failure::new(FailureKind::Config, format!("{name:?} cannot be the name of a file"))
            .remedy("name the file without directories"),
    )
}

fn write_all(dir: &Path, files: &BTreeMap<String, ResolvedValue>) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => DirBuilder::new().mode(0o700).create(dir)?,
    }
    for (name, content) in files {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(dir.join(name))?;
        file.write_all(content.reveal().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_private_and_removed() {
        let base = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(base.path(), "a/b c").unwrap();
        let files = BTreeMap::from([("key".to_owned(), ResolvedValue::from("text"))]);
        for _ in 0..2 {
            let secrets = dir.write_files(&files).unwrap();
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(dir.path()), mode(&secrets)), (0o700, 0o700));
            assert_eq!(mode(&secrets.join("key")), 0o600);
            assert_eq!(fs::read_to_string(secrets.join("key")).unwrap(), "text");
        }
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    fn world_writable_base_is_refused() {
        let base = tempfile::tempdir().unwrap();
        for (mode, fine) in [(0o777, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(base.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(PrivateDir::create(base.path(), "x").is_ok(), fine, "{mode:o}");
        }
    }

    #[test]
    fn file_names_cannot_escape() {
        let base = tempfile::tempdir().unwrap();
        let dir = PrivateDir::create(base.path(), "x").unwrap();
        for name in ["", "..", "../x", "/etc/passwd", "a/b"] {
            let files = BTreeMap::from([(name.to_owned(), ResolvedValue::from("text"))]);
            assert_eq!(dir.write_files(&files).unwrap_err().kind, FailureKind::Config, "{name}");
        }
    }
}
