//! The root directory of an image, filled with files of this machine.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cluster::binaries;
use crate::exec;
use crate::tools::apt;

/// The directory that becomes the image.
#[derive(Debug)]
pub(super) struct Root(PathBuf);

impl Root {
    /// Creates a root with the directories and the passwd file that programs expect.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let root = Self(folder.to_owned());
        for name in [
            "etc",
            "usr/local/bin",
            "usr/bin",
            "usr/sbin",
            "usr/lib",
            "usr/lib64",
            "tmp",
            "app",
        ] {
            fs::create_dir_all(folder.join(name))?;
        }
        // As on the source machines, /lib and /usr/lib are the same directory.
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), folder.join(name))?;
        }
        fs::set_permissions(folder.join("tmp"), Permissions::from_mode(0o1777))?;
        root.write(
            "etc/passwd",
            "root:x:0:0::/:/bin/sh\nportolan:x:65532:65532::/tmp:/bin/sh\n",
        )?;
        root.write("etc/group", "root:x:0:\nportolan:x:65532:\n")?;
        // Without it, glibc queries DNS before it reads /etc/hosts.
        root.write("etc/nsswitch.conf", "hosts: files dns\n")?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.0.join(name), text)?)
    }

    /// Copies a file or the content of a directory to `name`; links stay links.
    pub(super) fn copy(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.0.join(name);
        let parent = to.parent().context("the path has no parent")?;
        fs::create_dir_all(parent)?;
        let mut command = Command::new("cp");
        command.args([
            "--recursive",
            "--no-dereference",
            "--preserve=mode,links",
            "--no-target-directory",
        ]);
        exec::output(command.arg(from).arg(to)).map(drop)
    }

    /// Adds busybox, and a link for each applet that no program provides.
    pub(super) fn add_busybox(&self) -> Result<()> {
        let busybox = binaries::busybox()?;
        fs::copy(&busybox, self.0.join("usr/bin/busybox"))?;
        let applets = exec::output(Command::new(busybox).arg("--list"))?;
        for applet in applets.lines().filter(|applet| *applet != "busybox") {
            let link = self.0.join("usr/bin").join(applet);
            if !link.exists() {
                symlink("busybox", link)?;
            }
        }
        Ok(())
    }

    /// Adds the shared libraries of these programs and libraries, and the ld.so index.
    pub(super) fn add_libraries(&self, of: &[PathBuf]) -> Result<()> {
        let mut libraries = BTreeSet::new();
        for some in of.chunks(200) {
            // ldd fails for static programs, and lists the others nevertheless.
            let output = Command::new("ldd").args(some).output().context("cannot run ldd")?;
            libraries.extend(String::from_utf8_lossy(&output.stdout).lines().filter_map(library));
        }
        let mut folders = BTreeSet::new();
        for library in &libraries {
            let name = library.strip_prefix("/").context("ldd gave a relative path")?;
            let to = self.0.join(name);
            let folder = to.parent().context("the library has no directory")?;
            fs::create_dir_all(folder)?;
            fs::copy(library, &to).with_context(|| format!("cannot copy {}", library.display()))?;
            folders.extend(library.parent().map(|folder| folder.display().to_string()));
        }
        self.write("etc/ld.so.conf", &folders.into_iter().collect::<Vec<_>>().join("\n"))?;
        let ldconfig = apt::ensure_program("ldconfig", "libc-bin")?;
        exec::output(Command::new(ldconfig).arg("-r").arg(&self.0)).map(drop)
    }
}

/// `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007f…)` or `/lib64/ld-linux-x86-64.so.2 (0x00007f…)`
fn library(line: &str) -> Option<PathBuf> {
    let line = line.trim();
    let path = line.split_once(" => ").map_or(line, |(_, path)| path);
    let (path, _) = path.split_once(" (")?;
    path.starts_with('/').then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_off_what_ldd_prints() {
        let printed = [
            "\tlinux-vdso.so.1 (0x00007fc1af23e000)",
            "\tlibm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x00007fc1aef20000)",
            "\t/lib64/ld-linux-x86-64.so.2 (0x00007fc1af240000)",
            "/somewhere/a.so:",
            "\tlibgone.so.1 => not found",
        ];
        let found: Vec<PathBuf> = printed.into_iter().filter_map(library).collect();
        let wanted = ["/lib/x86_64-linux-gnu/libm.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, wanted.map(PathBuf::from));
    }
}
